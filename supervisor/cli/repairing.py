"""`log repair`: say how the log ends, and finish what a crash left unfinished."""

import time
from typing import TYPE_CHECKING

import click
import msgspec

from supervisor.cli.offline import existing_log, explained
from supervisor.cli.options import Access, json_option, pass_access, state_dir_option
from supervisor.cli.output import print_json

if TYPE_CHECKING:
    from eventlog.recovery import Repair
    from eventlog.repair import Finding


@click.command()
@click.option("--cut", is_flag=True, help="Do it; without, only say what would be done.")
@json_option
@state_dir_option
@pass_access
def repair(access: Access, *, cut: bool, as_json: bool) -> None:
    """Explain how the log ends, and with --cut finish a write that a crash interrupted.

    Only bytes that were never acknowledged are cut, and they are kept beside the log. Damage is
    never repaired: it exits 6, and `log cat --skip-damage` reads what is sound. The daemon must not
    run; it does the same when it starts.

    \b
    Example:
      chronovisor log repair
      chronovisor log repair --cut
    """
    from eventlog.repair import inspect_end, repair_end
    from eventlog.storage import DiskStorage

    storage = DiskStorage(existing_log(access))
    with explained():
        found = inspect_end(storage)
        kept = repair_end(storage, time.time_ns()) if cut else ()
    if as_json:
        print_json(
            {
                "ending": found.ending.value if found else None,
                "segment": found.name if found else None,
                "events": found.last if found else 0,
                "unfinished_bytes": found.torn if found else 0,
                "cut": cut,
                "kept": [msgspec.to_builtins(each) for each in kept],
            }
        )
    else:
        click.echo(_explained(found))
        click.echo(_done(found, kept) if cut else _advice(found))


def _explained(found: "Finding | None") -> str:
    from eventlog import Ending

    if found is None:
        return "the log is empty"
    if found.ending is Ending.TORN:
        return (
            f"{found.name} ends with {found.torn} bytes of a write that a crash interrupted, at "
            f"byte {found.offset}, after event {found.last}; nobody was ever told that they are in "
            "the log"
        )
    if found.ending is Ending.OPEN:
        return f"{found.name} ends after event {found.last} and was not closed; nothing is torn"
    return f"{found.name} ends after event {found.last} and is sealed; nothing is torn"


def _advice(found: "Finding | None") -> str:
    from eventlog import Ending

    if found is None or found.ending is not Ending.TORN:
        return "there is nothing to repair"
    return (
        "with --cut they are moved into a file of their own; the daemon's next start does that, too"
    )


def _done(found: "Finding | None", kept: tuple["Repair", ...]) -> str:
    from eventlog import Ending

    if not kept and found is not None and found.ending is Ending.OPEN:
        return f"nothing had to be cut; {found.name} is closed now, as the daemon's next start does"
    if not kept:
        return "nothing was cut"
    files = ", ".join(f"{each.kept_as} ({each.length} bytes)" for each in kept)
    return f"cut, and kept in {files}; the daemon's next start notes it in the log"
