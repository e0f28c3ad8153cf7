"""The command line of ``tools/simulate``, for people and for machines."""

import argparse
import json
import signal
import sys
import time

from tests.simulation import coverage
from tests.simulation.campaign import Goal, Tally, hunt_all, quiet, run
from tests.simulation.shrinking import minimal_trace
from tests.simulation.trial import Finding, try_seed

STEPS = 1_000_000
SEEDS = 10_000
SECONDS_MAX = 24 * 3600.0
JOBS_MAX = 256
REDRAW_S = 0.1
BAR = 30
TRACE_LINES = 200
INTERRUPTED = 130


def main() -> int:
    """Run what the arguments say; return the exit status."""
    arguments = _parse()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with quiet():
            return _one(arguments) if arguments.seed is not None else _many(arguments)
    except KeyboardInterrupt:
        _wipe()
        return INTERRUPTED


def _one(arguments: argparse.Namespace) -> int:
    finding = try_seed(arguments.seed, trace=_say if arguments.trace else None)
    if arguments.json:
        print(json.dumps(_described(finding)))
    else:
        print(_verdict(finding))
        if finding.invariant and not arguments.trace:
            _explain(finding)
    return 1 if finding.invariant else 0


def _many(arguments: argparse.Namespace) -> int:
    goal = Goal(arguments.steps, arguments.seeds, arguments.seconds)
    tally = Tally()
    try:
        run(tally, goal, arguments.first, arguments.jobs, _Bar(goal))
    except KeyboardInterrupt:
        _wipe()
        print(_total(tally))
        return INTERRUPTED
    _wipe()
    caught = {mutant.name: finding for mutant, finding in hunt_all()} if arguments.mutants else {}
    # Only a whole campaign is long enough to expect that everything was met.
    missed = coverage.missed(tally.met) if tally.steps >= STEPS else []
    contradicted = coverage.contradicted(tally.met)
    failed = bool(tally.failures or missed or contradicted or None in caught.values())
    if arguments.json:
        print(json.dumps(_summary(tally, caught)))
    else:
        _print(tally, caught)
    return 1 if failed else 0


def _print(tally: Tally, caught: dict[str, Finding | None]) -> None:
    print("\n".join(coverage.table(tally.met)))
    print()
    for pair in coverage.contradicted(tally.met):
        print(f"FAILED: said to be unreachable, and met: {pair}")
    missed = coverage.missed(tally.met)
    if tally.steps < STEPS:
        print(f"pairs that were not met: {len(missed)}, for {STEPS} steps are needed to meet all")
    for pair in missed if tally.steps >= STEPS else ():
        print(f"FAILED: not met: {pair}")
    for name, finding in caught.items():
        how = f"seed {finding.seed}: {finding.invariant}" if finding else ""
        print(f"caught: {name} ({how})" if finding else f"MISSED: {name}")
    for failure in tally.failures:
        finding = try_seed(failure.seed)
        print(_verdict(finding))
        _explain(finding)
    number = sum(finding is not None for finding in caught.values())
    print(_total(tally) + (f"; mutants caught: {number} of {len(caught)}" if caught else ""))


def _total(tally: Tally) -> str:
    return (
        f"{tally.seeds} seeds, {tally.steps} steps, {tally.crashes} crashes, {tally.lives} lives "
        f"of the daemon in {tally.seconds:.0f} s; broken invariants: {len(tally.failures)}"
    )


def _verdict(finding: Finding) -> str:
    if not finding.invariant:
        return f"seed {finding.seed}: {finding.steps} steps, {finding.lives} lives, all is well"
    return (
        f"FAILED: seed {finding.seed}: {finding.invariant}\n{finding.what}\n"
        f"again: tools/simulate --seed {finding.seed} --trace"
    )


def _explain(finding: Finding) -> None:
    lines = minimal_trace(finding)
    print("the shortest way to it that was found:")
    print("\n".join(lines[-TRACE_LINES:]))


def _summary(tally: Tally, caught: dict[str, Finding | None]) -> dict[str, object]:
    return {
        "seeds": tally.seeds,
        "steps": tally.steps,
        "crashes": tally.crashes,
        "lives": tally.lives,
        "seconds": round(tally.seconds, 1),
        "failures": [
            {"seed": each.seed, "invariant": each.invariant, "what": each.what}
            for each in tally.failures
        ],
        "met": {coverage.name(pair): tally.met[pair] for pair in coverage.pairs()},
        "missed": coverage.missed(tally.met),
        "contradicted": coverage.contradicted(tally.met),
        "mutants": {name: finding and finding.seed for name, finding in caught.items()},
    }


def _described(finding: Finding) -> dict[str, object]:
    return {
        "seed": finding.seed,
        "steps": finding.steps,
        "crashes": finding.crashes,
        "lives": finding.lives,
        "invariant": finding.invariant,
        "what": finding.what,
    }


def _say(line: str) -> None:
    print(line)


class _Bar:
    """One line on a terminal, nothing elsewhere."""

    def __init__(self, goal: Goal) -> None:
        self._goal = goal
        self._next = 0.0

    def __call__(self, tally: Tally) -> None:
        now = time.monotonic()
        if not sys.stderr.isatty() or now < self._next:
            return
        self._next = now + REDRAW_S
        goal = self._goal
        done = min(tally.steps / max(goal.steps, 1), tally.seeds / max(goal.seeds, 1))
        done = min(1.0, max(done, tally.seconds / goal.seconds))
        bar = "#" * int(BAR * done)
        failed = f", {len(tally.failures)} FAILED" if tally.failures else ""
        sys.stderr.write(f"\r\x1b[2K[{bar:{BAR}}] {tally.seeds} seeds, {tally.steps} steps{failed}")
        sys.stderr.flush()


def _wipe() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[2K")
        sys.stderr.flush()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="simulate",
        description="Run the whole daemon on a simulated host, disk and clock; each seed is a case "
        "of its own, and the same seed is always the same case.",
    )
    add = parser.add_argument
    add("--steps", type=_count, default=STEPS, help=f"at least so many steps [default: {STEPS}]")
    add("--seeds", type=_count, default=SEEDS, help=f"at least so many seeds [default: {SEEDS}]")
    add("--seconds", type=_seconds, default=float("inf"), help="no longer than this")
    add("--first", type=_count, default=0, help="seed to begin with [default: 0]")
    add("--jobs", type=_jobs, default=1, help="processes [default: 1]")
    add("--seed", type=_count, help="only this one, and why it fails if it does")
    add("--trace", action="store_true", help="with --seed: print everything that happens")
    add("--json", action="store_true", help="print one JSON object")
    add("--no-mutants", dest="mutants", action="store_false", help="do not hunt broken daemons")
    arguments = parser.parse_args()
    if arguments.trace and arguments.seed is None:
        parser.error("--trace needs --seed")
    return arguments


def _count(text: str) -> int:
    return _within(int(text), 0, 2**31)


def _jobs(text: str) -> int:
    return _within(int(text), 1, JOBS_MAX)


def _within(number: int, least: int, most: int) -> int:
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"takes {least} to {most}")
    return number


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= SECONDS_MAX:
        raise argparse.ArgumentTypeError(f"takes up to {SECONDS_MAX:.0f}")
    return seconds
