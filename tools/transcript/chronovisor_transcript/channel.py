"""One inherited listening socket of QEMU's: it serves one client at a time, line by line."""

import json
import socket
from collections import deque
from contextlib import suppress
from typing import Any

RECEIVE_BYTES = 65536
LINE_BYTES_MAX = 1024 * 1024
"""Of half a line; the daemon's commands are short."""


class Channel:
    """A listener that was inherited, and its present client; a second one waits in the backlog."""

    def __init__(self, descriptor: int) -> None:
        self.lines: deque[dict[str, Any]] = deque()
        self.clients = 0
        """How many there were so far."""
        self._listener = socket.socket(fileno=descriptor)
        self._listener.setblocking(False)
        self._client: socket.socket | None = None
        self._rest = b""

    @property
    def readable(self) -> socket.socket:
        """What to wait for: the client, or one to come."""
        return self._client or self._listener

    @property
    def is_connected(self) -> bool:
        """Whether somebody listens."""
        return self._client is not None

    def serve(self) -> None:
        """Take a client, or what it says."""
        if self._client is None:
            with suppress(BlockingIOError):
                self._client, _ = self._listener.accept()
                self.clients += 1
            return
        try:
            data = self._client.recv(RECEIVE_BYTES)
        except ConnectionError:
            data = b""
        if not data:
            self.hang_up()
            return
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[-LINE_BYTES_MAX:]
        self.lines.extend(json.loads(line) for line in lines if line.strip())

    def say(self, message: dict[str, Any]) -> None:
        """Tell the client, if there is one that still listens."""
        if self._client is None:
            return
        try:
            self._client.setblocking(True)
            self._client.sendall(json.dumps(message).encode() + b"\r\n")
        except ConnectionError:
            self.hang_up()

    def hang_up(self) -> None:
        """Let the next client come."""
        if self._client is not None:
            self._client.close()
        self._client, self._rest = None, b""
