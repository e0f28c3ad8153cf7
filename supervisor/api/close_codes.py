"""How the daemon ends a WebSocket: every code that it closes with, and what a client does then.

Who breaks the rules of RFC 6455 is hung up on. A test compares this with docs/api.md.
"""

from enum import IntEnum


class CloseCode(IntEnum):
    """Codes of RFC 6455, section 7.4.1, and of the IANA registry of WebSocket close codes."""

    DONE = 1000
    LEAVING = 1001
    UNWANTED_MESSAGE = 1003
    TOO_LONG = 1009
    LOG_ENDED = 1011
    TOO_SLOW = 1013


MEANING: dict[CloseCode, str] = {
    CloseCode.DONE: "a console whose launch has ended, after its last word",
    CloseCode.LEAVING: "the daemon is leaving: come back",
    CloseCode.UNWANTED_MESSAGE: "the client sent a message to the events, or text to a console",
    CloseCode.TOO_LONG: "the client sent a message that is longer than 4096 bytes",
    CloseCode.LOG_ENDED: "the log takes no more events, or a console's cannot be read, as on "
    "a disk that failed",
    CloseCode.TOO_SLOW: "the client did not take a message within 10 seconds, or a guest what was "
    "typed: come back",
}
