"""The leaves of the log's hash tree: each event's exact bytes on disk, in the order of positions.

The event at position p is leaf p - 1.
"""

from hashlib import sha256

import msgspec

from eventlog.merkle import Frontier

_split = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


def leaves_of(body: bytes) -> list[bytes]:
    """The leaf hashes of a frame's events."""
    # The same as merkle.leaf_hash; a call for each would cost as much as the digest.
    return [sha256(b"\0" + event).digest() for event in _split(body)]


class EdgeUnfit(ValueError):
    """These bytes are not the edge of this log's tree."""


class LeafFold:
    """The tree over what is read, as far as its left edge is known.

    It is known from the log's beginning on, or from an edge that somebody kept: then leaves that
    are read before that edge is met wait for it. Where it is not known and will not be met, nothing
    is hashed.
    """

    def __init__(self, frontier: Frontier | None) -> None:
        self.frontier = frontier
        self._waiting: list[bytes] | None = None
        self._before = 0

    def begin_after(self, position: int, edge: bytes) -> None:
        """Begin with the edge at this position; without one there is no tree. Raises EdgeUnfit."""
        self.frontier = _decoded(edge, position, position) if edge else None

    def begin_before_edge(self, position: int) -> None:
        """Begin behind this position; the edge is met later."""
        self.frontier, self._waiting, self._before = None, [], position

    def meet(self, edge: bytes) -> None:
        """Take the edge at a position that was passed since. Raises EdgeUnfit."""
        waiting, self._waiting = self._waiting or [], None
        if edge:
            frontier = _decoded(edge, self._before, self._before + len(waiting))
            frontier.extend(waiting[frontier.size - self._before :])
            self.frontier = frontier

    def add(self, body: bytes) -> None:
        """Take the events of the next frame."""
        if self.frontier is not None:
            self.frontier.extend(leaves_of(body))
        elif self._waiting is not None:
            self._waiting += leaves_of(body)


def _decoded(edge: bytes, least: int, most: int) -> Frontier:
    try:
        frontier = Frontier.decode(edge)
    except ValueError as error:
        raise EdgeUnfit(str(error)) from None
    if not least <= frontier.size <= most:
        raise EdgeUnfit(f"it is that of {frontier.size} events")
    return frontier
