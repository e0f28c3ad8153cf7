"""A log's storage, and how long each of its writes takes to become durable."""

import time
from collections.abc import Callable

from eventlog.passthrough import PassingFile, PassingStorage
from eventlog.storage import File, Storage


class TimedStorage(PassingStorage):
    """A log's storage, whose writes are timed."""

    def __init__(self, inner: Storage, observe: Callable[[float], None]) -> None:
        super().__init__(inner)
        self._observe = observe

    def wrap(self, file: File, name: str) -> File:
        """Return a file whose syncs are timed."""
        return _TimedFile(file, self._observe)


class _TimedFile(PassingFile):
    def __init__(self, inner: File, observe: Callable[[float], None]) -> None:
        super().__init__(inner)
        self._observe = observe
        self._begun: float | None = None

    def pwrite(self, data: bytes, offset: int) -> None:
        self._begun = self._begun or time.perf_counter()
        super().pwrite(data, offset)

    def fdatasync(self) -> None:
        super().fdatasync()
        if self._begun is not None:
            self._observe(time.perf_counter() - self._begun)
        self._begun = None
