"""Any journal, with a gate before each commit."""

from collections.abc import Callable, Sequence

from eventlog import Journal, Part, Record, Spare


class HeldJournal:
    def __init__(self, inner: Journal, gate: Callable[[str], None]) -> None:
        self.log_id = inner.log_id
        self.epoch = inner.epoch
        self.max_batch_bytes = inner.max_batch_bytes
        self.max_batch_events = inner.max_batch_events
        self._inner = inner
        self._gate = gate

    @property
    def spare(self) -> Spare:
        return self._inner.spare

    def commit(self, parts: Sequence[Part]) -> None:
        self._gate("commit")
        self._inner.commit(parts)

    def prepare(self) -> None:
        self._inner.prepare()

    def read(self, after: int, upto: int) -> Sequence[Record]:
        return self._inner.read(after, upto)

    def close(self) -> None:
        self._inner.close()
