"""Opening a log for its one writer: over the segment files of a directory, or over another journal.

Whatever keeps the events, positions, versions, group commit and readers are the same.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import trio

from eventlog.bookmark import Bookmark
from eventlog.errors import LogNotWritable
from eventlog.journal import Journal, open_journal
from eventlog.log import EventLog, LogOptions
from eventlog.recovery import Recovered

Opening = Callable[[], tuple[Journal, Recovered]]
"""Claims the storage, begins a new epoch, and tells what is there. Blocks; runs in a thread."""


def open_log(
    directory: Path, options: LogOptions | None = None, *, start: Bookmark | None = None
) -> AbstractAsyncContextManager[EventLog]:
    """Take the directory's lock, recover, and write to the log until the block is left.

    With a bookmark as `start`, only what lies behind it is read. Raises LogLocked, LogNotWritable,
    CorruptLog, ForeignSegment, UnsupportedFormat or BookmarkUnfit.
    """
    chosen = options or LogOptions()
    return open_over(lambda: _open_segments(directory, chosen, start), chosen)


@asynccontextmanager
async def open_over(opening: Opening, options: LogOptions | None = None) -> AsyncIterator[EventLog]:
    """Write to a log over any `Journal` until the block is left. Raises what `opening` raises.

    Of the options only `node_id` and `clock` are used.
    """
    journal, recovered = await trio.to_thread.run_sync(opening)
    log = EventLog(journal, recovered, options or LogOptions())
    try:
        await log.record_repairs(recovered.unlogged)
        yield log
    finally:
        await log.close()
        journal.close()


def _open_segments(
    directory: Path, options: LogOptions, start: Bookmark | None
) -> tuple[Journal, Recovered]:
    try:
        return open_journal(
            options.storage(directory),
            options.node_id,
            options.segment_bytes,
            options.clock,
            start,
        )
    except OSError as error:
        raise LogNotWritable(directory, str(error)) from error
