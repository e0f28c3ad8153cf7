"""What the HTTP listener, its connections and their requests may take of the daemon."""

import msgspec

from supervisor.vm.spec import KIB


class Bounds(msgspec.Struct, frozen=True):
    """Times are in seconds."""

    connections: int = 256
    """At once, those that follow events too. Each costs two tasks, a socket and a few messages."""
    refusals: int = 32
    """Connections beyond that which are still told why they are refused; the rest is hung up on."""
    header_bytes: int = 16 * KIB
    """Request line and headers; browsers and proxies send less than half."""
    document_bytes: int = 512 * KIB
    """A JSON body: the largest manifest there may be, with every character escaped."""
    idle_s: float = 20.0
    """Until a connection's first request has come with all its headers, and between requests."""
    request_s: float = 30.0
    """For a request that is no stream, its body included; durable appends take milliseconds."""
    silence_s: float = 60.0
    """A client that sends nothing of an upload so long is not there."""
    send_s: float = 20.0
    """A client that has not taken a piece of an answer by then is not there, or too slow."""
    heartbeat_s: float = 15.0
    """Between comments to those who follow events, which keep middleboxes awake."""
    linger_s: float = 2.0
    """For reading on after a refusal, so that a client in mid-upload gets to see it."""


BOUNDS = Bounds()
