"""A listener whose connections are counted from the moment they are accepted, until they close.

asyncio tells of a connection with TLS only once both sides have agreed on their keys. Strangers who
never do would be in no count.
"""

import os
import socket
from contextlib import suppress
from typing import Any
from weakref import WeakSet


class CountedListener(socket.socket):
    """Listens where ``listener`` does, and is closed with it; takes ``most`` at a time."""

    def __init__(self, listener: socket.socket, most: int) -> None:
        super().__init__(fileno=os.dup(listener.fileno()))
        self.setblocking(False)
        self._listener = listener
        self._most = most
        self._open: WeakSet[_Counted] = WeakSet()

    def accept(self) -> tuple[socket.socket, Any]:
        """Return a connection. Raises ConnectionAbortedError where one too many is hung up on."""
        accepted, address = super().accept()
        if len(self._open) >= self._most:
            accepted.close()
            raise ConnectionAbortedError("there is no room for another connection")
        return _Counted(accepted, self._open), address

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()
        super().close()

    def hang_up(self) -> None:
        """End the connections there are; who reads or writes on them finds them at their end."""
        for each in tuple(self._open):
            with suppress(OSError):  # the other side was first
                each.shutdown(socket.SHUT_RDWR)


class _Counted(socket.socket):
    def __init__(self, accepted: socket.socket, others: "WeakSet[_Counted]") -> None:
        super().__init__(fileno=accepted.detach())
        self._others = others
        others.add(self)

    def close(self) -> None:
        self._others.discard(self)
        super().close()
