"""Which messages met which phases, and which cannot: the table that a campaign ends with."""

from collections import Counter
from collections.abc import Iterator
from typing import get_args

import msgspec

from supervisor.vm import observations as ob
from supervisor.vm.attestation import AttestationObservation
from supervisor.vm.commands import AttestationCommand, Command, ProvideInput
from supervisor.vm.launching import BeforeLaunch
from supervisor.vm.observations import Observation
from supervisor.vm.state import ALIVE, ENDED, WAITING, Phase
from tests.simulation.universe import Met
from tests.simulation.watch import Recover

COUNT_CHARACTERS = 9

KINDS: tuple[type, ...] = (Recover, *get_args(Command), *get_args(Observation))
"""All messages there are, in the order of the core's own lists."""


class Exemption(msgspec.Struct, frozen=True):
    """Pairs that cannot be met, and why."""

    kinds: tuple[type, ...]
    phases: frozenset[Phase]
    why: str


_RAN = frozenset({Phase.RUNNING, Phase.PAUSED})
_NOT_WAITING = frozenset(Phase) - WAITING - {Phase.STOPPED, Phase.DELETED}

EXEMPTIONS = (
    Exemption(
        KINDS,
        frozenset({Phase.AWAITING_VERIFICATION, Phase.AWAITING_SESSION}),
        "no VM of the simulation is confidential; tests/vm/test_attestation.py has those",
    ),
    Exemption(
        (*get_args(AttestationCommand), *get_args(AttestationObservation)),
        frozenset(Phase),
        "no processor of the simulation measures, and no owner decides",
    ),
    Exemption(
        KINDS,
        frozenset({Phase.AWAITING_INPUTS}),
        "no computation of the simulation has inputs of others; tests/vm/test_inputs.py has those",
    ),
    Exemption((ProvideInput,), frozenset(Phase), "nobody of the simulation brings an input"),
    Exemption(KINDS, frozenset({Phase.DELETED}), "an actor ends with the last event of its VM"),
    Exemption(
        get_args(BeforeLaunch),
        _NOT_WAITING,
        "the next launch is prepared only while the VM waits for it",
    ),
    Exemption(
        tuple(kind for kind in get_args(BeforeLaunch) if kind is not ob.LaunchPrepared),
        frozenset({Phase.STOPPED}),
        "a stop uses up the number of the launch that was waited for",
    ),
    Exemption((ob.Queued,), frozenset({Phase.QUEUED}), "its ticket is in the log already"),
    Exemption(
        (ob.SpawnFailed, ob.NeverSpawned), _RAN, "a launch that ran was spawned, and that is known"
    ),
    Exemption(
        (ob.AgentStarted, ob.AgentProgress),
        frozenset({Phase.LAUNCHING}),
        "the agent is told to start only once the CPUs are known to run",
    ),
    Exemption(
        (ob.ResultCollected, ob.ResultRefused),
        ALIVE - {Phase.STOPPING},
        "a result is read only after the exit",
    ),
    Exemption(
        (ob.FilesRemoved, ob.RemovalFailed),
        frozenset(Phase) - ENDED,
        "files are removed only of a VM that ended, and it is not started again",
    ),
)


RARE = frozenset(
    {
        # An actor crashes after the last event of its VM, and is restarted only to end.
        (Phase.DELETED, Recover),
        # Files were being made when the VM was stopped; it was started again, in vain, before
        # they were ready.
        (Phase.BACKOFF, ob.LaunchPrepared),
        (Phase.FAILED, ob.LaunchPrepared),
    }
)
"""Pairs that were met once or twice in two million steps: a campaign need not meet them."""


def why_unreachable(phase: Phase, kind: type) -> str:
    """Return why a pair cannot be met; empty where it can."""
    return next(
        (each.why for each in EXEMPTIONS if kind in each.kinds and phase in each.phases), ""
    )


def pairs() -> Iterator[Met]:
    """Yield every pair."""
    return ((phase, kind) for kind in KINDS for phase in Phase)


def missed(met: Counter[Met]) -> list[str]:
    """Return the pairs that can be met and were not."""
    expected = _reachable() - RARE
    return [name(pair) for pair in pairs() if pair in expected and not met[pair]]


def contradicted(met: Counter[Met]) -> list[str]:
    """Return the pairs that were met although it is said that they cannot be."""
    possible = _reachable() | RARE
    return [name(pair) for pair in pairs() if met[pair] and pair not in possible]


def _reachable() -> set[Met]:
    return {pair for pair in pairs() if not why_unreachable(*pair)}


def name(pair: Met) -> str:
    """Return a pair in words."""
    return f"{pair[1].__name__} in {pair[0].value}"


def table(met: Counter[Met]) -> Iterator[str]:
    """Yield the lines of the table: how often each pair was met, or the number of the reason."""
    reasons = [each.why for each in EXEMPTIONS]
    width = max(len(kind.__name__) for kind in KINDS)
    yield f"{'':{width}} " + " ".join(f"{phase.value:>{_column(phase)}}" for phase in Phase)
    for kind in KINDS:
        cells = ((_cell(met, (phase, kind), reasons), _column(phase)) for phase in Phase)
        yield f"{kind.__name__:{width}} " + " ".join(f"{cell:>{room}}" for cell, room in cells)
    for number, why in enumerate(reasons, 1):
        yield f"({number}) not reachable: {why}"


def _column(phase: Phase) -> int:
    return max(COUNT_CHARACTERS, len(phase.value))


def _cell(met: Counter[Met], pair: Met, reasons: list[str]) -> str:
    if count := met[pair]:
        return str(count)
    if pair in RARE:
        return "rare"
    why = why_unreachable(*pair)
    return f"({reasons.index(why) + 1})" if why else "NOT MET"
