"""The SQLite recorder of the `eventsourcing` library, where that is installed (extra `bench`)."""

import uuid
from pathlib import Path

from eventlog_bench.appending import Appends, timed

try:
    from eventsourcing.persistence import StoredEvent
    from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore
except ModuleNotFoundError:
    INSTALLED = False
else:
    INSTALLED = True

TOPIC = "vm.progress-reported.v1"


def recorder(directory: Path, state: bytes, count: int) -> Appends:
    """One event of `state` per transaction, in the library's own way, from one thread."""
    datastore = SQLiteDatastore(str(directory / "eventsourcing.sqlite"))
    keeper = SQLiteApplicationRecorder(datastore)
    keeper.create_table()
    stream = uuid.uuid4()

    def write(number: int) -> None:
        keeper.insert_events([StoredEvent(stream, number + 1, TOPIC, state)])

    try:
        return timed(count, write)
    finally:
        datastore.close()
