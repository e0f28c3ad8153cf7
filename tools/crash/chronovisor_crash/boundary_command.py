"""The command line of `tools/crash/boundaries`: a campaign, its table, and how to repeat it."""

import argparse
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
from rich.table import Table

from chronovisor_crash.boundaries import Campaign, Outcome, Report, Unsound
from chronovisor_crash.command import INTERRUPTED, Progress
from chronovisor_crash.environment import ROOT
from chronovisor_crash.scene import DaemonHung
from supervisor.cli.drawing import stdout_console
from supervisor.cli.exits import Failure

GUEST = ROOT / ".cache" / "guest"
JOBS = 2
JOBS_MAX = 64
EVERY_MAX = 10_000
_SEEDS = 2**31


def main() -> int:
    """Run the command line; return the exit status."""
    arguments = _parse()
    if not (arguments.catalogue / "catalogue.json").exists():
        build = f"chronovisor guest build --directory {arguments.catalogue}"
        print(f"there is no guest in {arguments.catalogue}: run `{build}`", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    progress = Progress()
    try:
        campaign = Campaign(arguments.catalogue, progress)
        report = campaign.run(every=arguments.every, seed=arguments.seed, jobs=arguments.jobs)
    except KeyboardInterrupt:
        progress.wipe()
        return INTERRUPTED
    except (Unsound, Failure, DaemonHung, OSError, ValueError) as error:
        progress.wipe()
        print(f"boundaries: not even an undisturbed computation works: {error}", file=sys.stderr)
        return 1
    progress.wipe()
    if arguments.json:
        print(msgspec.json.encode({"passed": report.passed, **_fields(report)}).decode())
    else:
        _show(report)
    return 0 if report.passed else 1


def _fields(report: Report) -> dict[str, object]:
    fields: dict[str, object] = msgspec.to_builtins(report)
    return fields


def _show(report: Report) -> None:
    seen = [
        outcome for outcome in Outcome if any(each[outcome] for each in report.table().values())
    ]
    table = Table("the daemon is killed", "tried", *(outcome.value for outcome in seen), box=None)
    for kind, outcomes in report.table().items():
        counts = [str(outcomes[outcome]) for outcome in seen]
        table.add_row(kind.value, str(outcomes.total()), *counts)
    console = stdout_console()
    console.print(table)
    for finding in report.findings:
        if finding.outcome not in (Outcome.SOUND, Outcome.NOT_MET):
            console.print(f"FAILED: {finding.boundary}: {finding.outcome.value}: {finding.what}")
    effects = sum(report.effects.values())
    console.print(
        f"{report.boundaries} boundaries: 4 at each of {report.appends} appends, "
        f"2 at each of {effects} effects; {len(report.findings)} tried in {report.seconds} s"
    )
    console.print(f"again: tools/crash/boundaries --every {report.every} --seed {report.seed}")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Kill the daemon at every boundary of one whole computation."
    )
    parser.add_argument(
        "--every", type=_between(EVERY_MAX), default=1, help="try one of N boundaries [default: 1]"
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=random.randrange(_SEEDS),
        help="which ones, and in which order [default: any]",
    )
    parser.add_argument(
        "--jobs", type=_between(JOBS_MAX), default=JOBS, help="at the same time [default: 2]"
    )
    parser.add_argument(
        "--catalogue",
        type=Path,
        default=os.environ.get("CHRONOVISOR_CATALOGUE", GUEST),
        help="directory of the reference guest [default: .cache/guest]",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def _between(most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        chosen = int(text)
        if not 1 <= chosen <= most:
            raise argparse.ArgumentTypeError(f"takes 1 to {most}")
        return chosen

    return number
