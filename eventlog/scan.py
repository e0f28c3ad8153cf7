"""Folding a log from a bookmark on, beside its writer, to a newer bookmark.

No lock is taken and nothing is changed. What a live writer has not finished is not seen.
"""

import uuid
from collections.abc import Iterator

from eventlog.audit import Audit
from eventlog.bookmark import Bookmark, check_bookmark
from eventlog.offline import LOOKS
from eventlog.record import Record
from eventlog.recovery import kept_files
from eventlog.storage import Storage
from eventlog.walk import SegmentWalk, Start, walk_log


class Scan:
    """Reads the log commit by commit, and knows where it stands.

    Raises BookmarkUnfit when it is made, and when it is read what `read_log` raises.
    """

    def __init__(self, storage: Storage, start: Bookmark | None = None) -> None:
        if start is not None:
            check_bookmark(storage, start)
        self._storage = storage
        self._audit = Audit(None, start)
        self._log_id = start.log_id if start else uuid.UUID(int=0)
        self._start = start.start if start else None
        self._repairs = list(start.repairs if start else ())

    @property
    def position(self) -> int:
        """The last event that was read."""
        return self._audit.head

    def commits(self) -> Iterator[list[Record]]:
        """The events of each commit from here to the end of this moment; ask again to go on."""
        for walk in walk_log(self._storage, looks=LOOKS, start=self._start):
            self._stand(walk)
            for sound in walk:
                records = self._audit.check(walk, sound)
                self._repairs += kept_files(records)
                self._stand(walk)
                yield records

    def bookmark(self) -> Bookmark | None:
        """Where the scan stands; None in an empty directory."""
        if self._start is None:
            return None
        return Bookmark(
            log_id=self._log_id,
            position=self.position,
            chain=self._start.place.chain,
            recorded_at=self._audit.recorded_at,
            segment=self._start.segment,
            offset=self._start.place.offset,
            frames=self._start.frames,
            versions=self._audit.versions.packed(),
            repairs=tuple(self._repairs),
            tree=self._audit.tree.encode() if self._audit.tree else b"",
        )

    def _stand(self, walk: SegmentWalk) -> None:
        self._log_id = walk.header.log_id
        self._start = Start(walk.header.first, walk.place, walk.frames)
