"""The log over each of its backends, for tests that must not care which it is.

A further backend needs one entry in `BACKENDS`: how it is opened in a directory. Claims are files
named `lock` there; everything else a backend keeps as it likes.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import msgspec
import pytest
from eventlog_bench.sqlite_journal import open_sqlite

from eventlog import EventLog, Journal, LogOptions, Recovered, open_over
from eventlog.journal import open_journal
from eventlog.storage import DiskStorage
from tests.eventlog.conformance.held import HeldJournal
from tests.eventlog.gate import Gate

OPTIONS = LogOptions(node_id="n", clock=lambda: 1_000)


def _segments(directory: Path) -> tuple[Journal, Recovered]:
    return open_journal(DiskStorage(directory), "n", 64 * 1024, OPTIONS.clock)


BACKENDS: dict[str, Callable[[Path], tuple[Journal, Recovered]]] = {
    "segments": _segments,
    "sqlite": open_sqlite,
}


class Backend:
    """One way to keep events, in one directory: every opening is another life of the writer."""

    def __init__(self, name: str, directory: Path) -> None:
        self._open = BACKENDS[name]
        self.directory = directory

    def open(
        self, clock: Callable[[], int] = OPTIONS.clock
    ) -> AbstractAsyncContextManager[EventLog]:
        return open_over(
            lambda: self._open(self.directory), msgspec.structs.replace(OPTIONS, clock=clock)
        )

    def open_held(self, gate: Gate) -> AbstractAsyncContextManager[EventLog]:
        """A log whose commits wait for the gate, or fail as the gate does."""

        def opening() -> tuple[Journal, Recovered]:
            journal, recovered = self._open(self.directory)
            return HeldJournal(journal, gate), recovered

        return open_over(opening, OPTIONS)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    return Backend(request.param, tmp_path / "log")


@pytest.fixture
async def log(backend: Backend) -> AsyncIterator[EventLog]:
    async with backend.open() as opened:
        yield opened


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def held(backend: Backend, gate: Gate) -> AsyncIterator[EventLog]:
    """A log whose commits wait for the gate."""
    async with backend.open_held(gate) as opened:
        try:
            yield opened
        finally:
            gate.open()
