"""`guest build`: make the reference guest, once per host."""

import os
from pathlib import Path

import click
import msgspec

from supervisor.cli.drawing import print_rows, step_progress
from supervisor.cli.exits import ExitCode, Failure
from supervisor.cli.groups import Group
from supervisor.cli.options import CATALOGUE_VARIABLE, json_option
from supervisor.cli.output import human_size, print_json
from supervisor.config import default_catalogue


@click.group(cls=Group)
def guest() -> None:
    """Work with the guests that computations run in."""


@guest.command()
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    envvar=CATALOGUE_VARIABLE,
    metavar="DIR",
    help=f"Where to build.  [env: {CATALOGUE_VARIABLE}; "
    "default: /var/lib/chronovisor/guest for root, else chronovisor/guest in $XDG_DATA_HOME]",
)
@click.option("--refresh", is_flag=True, help="Look for newer packages.")
@json_option
def build(*, directory: Path | None, refresh: bool, as_json: bool) -> None:
    """Build the reference guest from Debian's packages, without installing them.

    Does nothing when the guest is there. `serve` finds it by itself.

    \b
    Example:
      chronovisor guest build
    """
    import chronovisor_guest

    place = directory or default_catalogue(os.environ, os.geteuid())
    try:
        with step_progress("guest") as report:
            built = chronovisor_guest.build(
                place,
                report=lambda step: report(step.stage, step.done / max(1, step.total)),
                refresh=refresh,
            )
    except chronovisor_guest.GuestError as error:
        raise Failure(ExitCode.HOST_TROUBLE, str(error)) from None
    if as_json:
        print_json({"directory": str(place), **msgspec.to_builtins(built)})
        return
    rows = [
        (name, entry.kind, human_size(entry.size), str(place / entry.file))
        for name, entry in built.entries.items()
    ]
    print_rows(("NAME", "KIND", "SIZE", "FILE"), rows)
