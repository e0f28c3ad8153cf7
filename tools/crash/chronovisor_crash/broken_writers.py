"""Writers with one rule broken: storages that leave out, or put off, one operation each.

Where a window is only microseconds wide the wrong order dawdles in it, so that a kill finds in
seconds what it would otherwise find in hours.
"""

import contextlib
import time

from eventlog import segment
from eventlog.passthrough import PassingFile, PassingStorage
from eventlog.segment import SPARE_NAME, TIP_NAME
from eventlog.storage import File, Storage

_DAWDLE_SECONDS = 0.003
"""Long against a frame's write, short against a life of the writer."""


class NoDataSync(PassingStorage):
    """Never calls fdatasync."""

    def wrap(self, file: File, name: str) -> File:
        return _NoDataSyncFile(file)


class _NoDataSyncFile(PassingFile):
    def fdatasync(self) -> None:
        pass


class NoDirectorySync(PassingStorage):
    """Renames, and never syncs the directory."""

    def fsync_dir(self) -> None:
        pass


class RenameBeforeHeader(PassingStorage):
    """Gives a segment its name first and its header then."""

    header: File | None = None

    def wrap(self, file: File, name: str) -> File:
        return _LateHeader(file, self) if name == SPARE_NAME else PassingFile(file)

    def rename(self, old: str, new: str) -> None:
        self.inner.rename(old, new)
        if isinstance(self.header, _LateHeader):
            time.sleep(_DAWDLE_SECONDS)
            self.header.write_now()


class _LateHeader(PassingFile):
    def __init__(self, inner: File, storage: RenameBeforeHeader) -> None:
        super().__init__(inner)
        self._storage = storage
        self._late: bytes | None = None

    def pwrite(self, data: bytes, offset: int) -> None:
        if offset == 0 and len(data) == segment.HEADER_SIZE:
            self._late, self._storage.header = data, self
        else:
            self.inner.pwrite(data, offset)

    def fsync(self) -> None:
        if self._late is None:
            self.inner.fsync()

    def write_now(self) -> None:
        if self._late is not None:
            self.inner.pwrite(self._late, 0)
            self._late = None
            self.inner.fsync()


class TipBeforeFrame(PassingStorage):
    """Puts a frame off until the tip names it: the tip leads where it may only lag."""

    def __init__(self, inner: Storage) -> None:
        super().__init__(inner)
        self.late: list[_LateFrame] = []

    def wrap(self, file: File, name: str) -> File:
        return _EarlyTip(file, self) if name == TIP_NAME else _LateFrame(file, self)


class _LateFrame(PassingFile):
    def __init__(self, inner: File, storage: TipBeforeFrame) -> None:
        super().__init__(inner)
        self._storage = storage
        self._late: tuple[bytes, int] | None = None

    def pwrite(self, data: bytes, offset: int) -> None:
        is_frame = offset >= segment.HEADER_SIZE and any(data) and not segment.starts_footer(data)
        if is_frame:
            self._late = data, offset
            self._storage.late.append(self)
        else:
            self.inner.pwrite(data, offset)

    def fdatasync(self) -> None:
        if self._late is None:
            self.inner.fdatasync()

    def write_now(self) -> None:
        if self._late is not None:
            self.inner.pwrite(*self._late)
            self._late = None
            self.inner.fdatasync()


class _EarlyTip(PassingFile):
    def __init__(self, inner: File, storage: TipBeforeFrame) -> None:
        super().__init__(inner)
        self._storage = storage

    def pwrite(self, data: bytes, offset: int) -> None:
        self.inner.pwrite(data, offset)
        time.sleep(_DAWDLE_SECONDS)
        while self._storage.late:
            self._storage.late.pop().write_now()


class SealWithoutSync(PassingStorage):
    """Goes on to the next segment before the footer of the last is durable."""

    def wrap(self, file: File, name: str) -> File:
        return _UnsyncedSeal(file)


class _UnsyncedSeal(PassingFile):
    is_sealing = False

    def pwrite(self, data: bytes, offset: int) -> None:
        self.is_sealing = segment.starts_footer(data)
        self.inner.pwrite(data, offset)

    def fdatasync(self) -> None:
        if not self.is_sealing:
            self.inner.fdatasync()

    def fsync(self) -> None:
        if not self.is_sealing:
            self.inner.fsync()


class ErrorsIgnored(PassingStorage):
    """Takes a failed write or sync for done."""

    def wrap(self, file: File, name: str) -> File:
        return _ErrorsIgnoredFile(file)


class _ErrorsIgnoredFile(PassingFile):
    def pwrite(self, data: bytes, offset: int) -> None:
        with contextlib.suppress(OSError):
            self.inner.pwrite(data, offset)

    def fdatasync(self) -> None:
        with contextlib.suppress(OSError):
            self.inner.fdatasync()


class SyncRetried(PassingStorage):
    """Asks again after a failed fdatasync, and believes the second answer."""

    def wrap(self, file: File, name: str) -> File:
        return _SyncRetriedFile(file)


class _SyncRetriedFile(PassingFile):
    def fdatasync(self) -> None:
        try:
            self.inner.fdatasync()
        except OSError:
            self.inner.fdatasync()
