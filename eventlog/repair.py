"""Looking at a log that a crash may have left unfinished, and finishing it, outside of its writer.

Only what was never acknowledged is ever cut, and it is kept. Damage is refused.
"""

import msgspec

from eventlog.audit import Audit, read_tip
from eventlog.damage import Ending
from eventlog.recovery import Repair, recover
from eventlog.storage import Storage
from eventlog.walk import walk_log


class Finding(msgspec.Struct, frozen=True):
    """How the log ends: in which file, after which event, and with how many bytes to be cut.

    `unused` bytes behind a footer were set aside and never written.
    """

    name: str
    last: int
    ending: Ending
    offset: int
    torn: int
    unused: int


def inspect_end(storage: Storage) -> Finding | None:
    """How the log ends; None for an empty directory. Raises what reading a log raises."""
    audit = Audit(read_tip(storage))
    found, last = None, None
    for walk in walk_log(storage):
        for sound in walk:
            audit.check(walk, sound)
        tail, last = walk.finish(), walk
        found = Finding(
            name=walk.header.name,
            last=walk.place.position - 1,
            ending=tail.ending,
            offset=walk.place.offset,
            torn=tail.torn,
            unused=tail.unused,
        )
    audit.conclude(last)
    return found


def repair_end(storage: Storage, sealed_at: int) -> tuple[Repair, ...]:
    """Cut an unfinished write, keep its bytes in a file, and seal the segment.

    The next writer notes it in the log. Returns what is kept and not noted yet. Raises LogLocked,
    LogNotWritable for a directory of another user, and what reading a log raises; then nothing
    was changed.
    """
    lock = storage.lock()
    try:
        return recover(storage, sealed_at).unlogged
    finally:
        lock.release()
