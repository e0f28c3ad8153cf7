"""The log's seam for storage over SQLite in WAL mode with every commit synced: the yardstick.

It does the least that keeps the promises of `Journal`: one row for each append, so SQLite is not
charged for an index over streams. What it does not give are chain, hash tree and recovery from
damage; see docs/benchmarks.md.
"""

import sqlite3
import threading
import uuid
from collections.abc import Sequence
from pathlib import Path

from eventlog import LogNotWritable, Part, Record, Recovered, Spare, record
from eventlog.frame import MAX_BODY, MAX_COUNT
from eventlog.storage import DiskStorage, Lock
from eventlog.versions import StreamVersions

FILE_NAME = "events.sqlite"

READ_ROWS = 1024
"""Appends in one read: some 300 KiB of usual events, as much as a reader looks at between waits."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS log (log_id BLOB NOT NULL, epoch INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS append (
    last INTEGER PRIMARY KEY, count INTEGER NOT NULL, events BLOB NOT NULL);
"""
_INSERT = "INSERT INTO append VALUES (?, ?, ?)"
_SELECT = "SELECT count, events FROM append WHERE last > ? AND last <= ? ORDER BY last LIMIT ?"


class SqliteJournal:
    """`eventlog.Journal` over one database file."""

    max_batch_bytes = MAX_BODY
    max_batch_events = MAX_COUNT
    spare = Spare.HELD

    def __init__(self, directory: Path, lock: Lock) -> None:
        self._lock = lock
        self._writer = _connect(directory)
        self._reader = _connect(directory)
        self._reading = threading.Lock()
        self.log_id, self.epoch = self._begin_epoch()

    def commit(self, parts: Sequence[Part]) -> None:
        self._lock.verify()
        rows = [(part.first + part.count - 1, part.count, part.events) for part in parts]
        self._writer.execute("BEGIN IMMEDIATE")
        self._writer.executemany(_INSERT, rows)
        self._writer.execute("COMMIT")

    def prepare(self) -> None:
        """SQLite has nothing that could wait."""

    def read(self, after: int, upto: int) -> Sequence[Record]:
        with self._reading:
            rows = self._reader.execute(_SELECT, (after, upto, READ_ROWS)).fetchall()
        found = [one for count, events in rows for one in record.decode(record.body(count, events))]
        return [one for one in found if one.position > after]

    def close(self) -> None:
        self._writer.close()
        self._reader.close()
        self._lock.release()

    def _begin_epoch(self) -> tuple[uuid.UUID, int]:
        self._writer.executescript(_SCHEMA)
        known = self._writer.execute("SELECT log_id, epoch FROM log").fetchone()
        if known is None:
            log_id, epoch = uuid.uuid4(), 1
            self._writer.execute("INSERT INTO log VALUES (?, ?)", (log_id.bytes, epoch))
        else:
            log_id, epoch = uuid.UUID(bytes=known[0]), known[1] + 1
            self._writer.execute("UPDATE log SET epoch = ?", (epoch,))
        return log_id, epoch


def open_sqlite(directory: Path) -> tuple[SqliteJournal, Recovered]:
    """Open or make a log in this directory. Raises LogLocked or LogNotWritable."""
    try:
        storage = DiskStorage(directory)
        storage.prepare()
        lock = storage.lock()
    except OSError as error:
        raise LogNotWritable(directory, str(error)) from error
    try:
        journal = SqliteJournal(directory, lock)
        return journal, _recover(journal)
    except sqlite3.Error as error:
        lock.release()
        raise LogNotWritable(directory, str(error)) from error


def _recover(journal: SqliteJournal) -> Recovered:
    head, recorded_at, versions = 0, 0, StreamVersions()
    while events := journal.read(head, 2**63 - 1):
        versions.update({one.stream: one.version for one in events})
        head, recorded_at = events[-1].position, events[-1].recorded_at
    return Recovered(
        log_id=journal.log_id,
        epoch=journal.epoch - 1,
        head=head,
        chain=b"",
        recorded_at=recorded_at,
        versions=versions,
        repairs=(),
        unlogged=(),
    )


def _connect(directory: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        directory / FILE_NAME, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection
