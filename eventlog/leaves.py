"""The leaves of the log's hash tree: each event's exact bytes on disk, in the order of positions.

The event at position p is leaf p - 1.
"""

import msgspec

from eventlog.merkle import leaf_hash

_split = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


def leaves_of(body: bytes) -> list[bytes]:
    """The leaf hashes of a frame's events."""
    return [leaf_hash(event) for event in _split(body)]
