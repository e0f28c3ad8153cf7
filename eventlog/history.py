"""Reading what is older than the tail in memory, a piece at a time, from any thread.

Nothing is held open between two reads, so a stalled reader costs nothing.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence

from eventlog import record, segment
from eventlog.damage import Place
from eventlog.errors import CorruptLog, PositionArchived
from eventlog.record import Record
from eventlog.storage import Storage
from eventlog.walk import SegmentWalk, name_holding, read_header, segment_names

_READ_BYTES = 1024 * 1024
"""Body bytes of one read: large enough to pay for the thread, small enough for memory."""

_PLACES = 1024
"""Places where readers stopped, kept to go on there; readers beyond these seek again."""


class History:
    """The segments of one directory, for readers inside the writer's process."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._lock = threading.Lock()
        self._places: OrderedDict[int, tuple[str, Place]] = OrderedDict()

    def read(self, after: int, upto: int) -> Sequence[Record]:
        """Some events after `after`, none beyond `upto`; empty only if there are none.

        `upto` is the end of a commit. Position 0 stands for the oldest event that is here; others
        raise PositionArchived. Raises CorruptLog where a segment was damaged meanwhile.
        """
        if after >= upto:
            return ()
        return self._resume(after, upto) or self._seek(after, upto)

    def _resume(self, after: int, upto: int) -> Sequence[Record]:
        with self._lock:
            known = self._places.get(after)
        if known is None:
            return ()
        name, place = known
        return self._read(name, place, after, upto)

    def _seek(self, after: int, upto: int) -> Sequence[Record]:
        names = segment_names(self._storage)
        name = names[name_holding(names, after + 1)]
        first = segment.first_position(name)
        if 0 < after < first - 1:
            raise PositionArchived(after, first)
        return self._read(name, None, after, upto)

    def _read(self, name: str, place: Place | None, after: int, upto: int) -> Sequence[Record]:
        file = self._storage.open(name)
        try:
            walk = SegmentWalk(file, read_header(file, name), place)
            if place is None:
                walk.skip(after)
            records = _take(walk, after, upto)
        finally:
            file.close()
        if records:
            self._remember(name, walk.place)
        elif place is None:
            raise CorruptLog(after + 1, walk.place.offset, name, "an acknowledged event is missing")
        return records

    def _remember(self, name: str, place: Place) -> None:
        with self._lock:
            self._places[place.position - 1] = (name, place)
            if len(self._places) > _PLACES:
                self._places.popitem(last=False)


def _take(walk: SegmentWalk, after: int, upto: int) -> list[Record]:
    records: list[Record] = []
    size = 0
    while size < _READ_BYTES and walk.place.position <= upto:
        sound = walk.next_frame()
        if sound is None:
            break
        records.extend(record.decode(sound.body))
        size += len(sound.body)
    return [event for event in records if event.position > after]
