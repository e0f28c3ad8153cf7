"""The command lines of `tools/crash`: one layer or all of them, for people and for machines."""

import argparse
import random
import signal
import sys
import time

import msgspec

from chronovisor_crash import damage, injection, kill, powercut, simulation
from chronovisor_crash.findings import Budget, LayerReport

LAYERS = {layer.LAYER: layer.run for layer in (simulation, damage, kill, injection, powercut)}
SHARES = {"simulation": 0.15, "damage": 0.0, "kill": 0.15, "injection": 0.2, "powercut": 0.15}
"""Of the time of all; damage takes what it takes, mutants the rest."""

SECONDS = 60.0
SECONDS_MAX = 7 * 24 * 3600.0
_SEEDS = 2**31
_REDRAW_SECONDS = 0.1
INTERRUPTED = 130


class Progress:
    """One line on a terminal, nothing elsewhere."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._next = 0.0

    def __call__(self, what: str) -> None:
        now = time.monotonic()
        if self._shown and now >= self._next:
            self._next = now + _REDRAW_SECONDS
            sys.stderr.write(f"\r\x1b[2K{what}")
            sys.stderr.flush()

    def wipe(self) -> None:
        """Leave nothing on the terminal."""
        if self._shown:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()


def main(*layers: str) -> int:
    """Run these layers, all of them where none is named; return the exit status."""
    arguments = _parse(layers)
    progress = Progress()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    reports: list[LayerReport] = []
    try:
        for layer in layers or LAYERS:
            share = 1.0 if layers else SHARES[layer]
            budget = Budget(share * arguments.seconds, arguments.seed, progress)
            reports.append(LAYERS[layer](budget))
            progress.wipe()
            if not arguments.json:
                print("\n".join(lines(reports[-1])), flush=True)
    except KeyboardInterrupt:
        progress.wipe()
        return INTERRUPTED
    passed = all(report.passed for report in reports)
    if arguments.json:
        print(msgspec.json.encode({"passed": passed, "layers": reports}).decode())
    else:
        print(verdict(reports))
    return 0 if passed else 1


def lines(report: LayerReport) -> list[str]:
    """A layer's report for people."""
    if report.skipped:
        return [f"{report.layer}: skipped, {report.skipped}"]
    caught = [cases for cases in report.mutants.values() if cases is not None]
    return [
        f"{report.layer}: {report.cases} cases in {report.seconds} s (seed {report.seed}), "
        f"silent losses: {report.silent_losses}, "
        f"mutants caught: {len(caught)} of {len(report.mutants)}",
        *(f"    {count:7} {outcome}" for outcome, count in report.outcomes.items()),
        *(f"    {note}" for note in report.notes),
        *(f"    {_mutant(name, cases)}" for name, cases in report.mutants.items()),
        *(
            f"    FAILED: {one.outcome}: {one.what}; again: --seed {one.seed}"
            for one in report.failures
        ),
    ]


def verdict(reports: list[LayerReport]) -> str:
    """All layers in one line."""
    mutants = [cases for report in reports for cases in report.mutants.values()]
    caught = sum(cases is not None for cases in mutants)
    skipped = sum(bool(report.skipped) for report in reports)
    return (
        f"total: {sum(report.cases for report in reports)} cases, "
        f"silent losses: {sum(report.silent_losses for report in reports)}, "
        f"mutants caught: {caught} of {len(mutants)}, layers skipped: {skipped}"
    )


def _mutant(name: str, cases: int | None) -> str:
    return f"MISSED: {name}" if cases is None else f"caught: {name} (case {cases})"


def _parse(layers: tuple[str, ...]) -> argparse.Namespace:
    what = " and ".join(layers) or "all layers"
    parser = argparse.ArgumentParser(description=f"Crash tests of the event log: {what}.")
    parser.add_argument("--seconds", type=_seconds, default=SECONDS, help="to look [default: 60]")
    parser.add_argument(
        "--seed",
        type=int,
        default=random.randrange(_SEEDS),
        help="of the first case; a report names the one that repeats a failure [default: any]",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= SECONDS_MAX:
        raise argparse.ArgumentTypeError(f"takes 0 to {SECONDS_MAX:.0f}")
    return seconds
