"""Hypothesis strategies that several parts of the tests share."""

from typing import TypeVar, get_args

import msgspec
from hypothesis import strategies as st

from supervisor.vm import observations as ob
from supervisor.vm.commands import (
    ApproveLaunch,
    Command,
    Delete,
    Kill,
    Pause,
    ProvideSession,
    RejectLaunch,
    RequestReport,
    Reset,
    Resume,
    Start,
    Stop,
)
from supervisor.vm.observations import Observation
from tests.vm.confidential_states import (
    CLAIMS,
    EVIDENCE_OF_LAUNCH,
    FIRST,
    INJECT,
    MEASUREMENT,
    PACKET,
    PLATFORM,
    SECOND,
    THIRD,
)
from tests.vm.party_states import ALGORITHM, DATA, OTHER_DATA, STRANGE
from tests.vm.states import DIRECTORY, EVIDENCE, IMAGES, SHA256

S = TypeVar("S", bound=msgspec.Struct)

small = st.integers(0, 4)
words = st.text("ab,\0é ", max_size=6)

KNOWN: dict[str, st.SearchStrategy[object]] = {
    "launch": small,
    "directory": st.just(DIRECTORY),
    "images": st.just(IMAGES),
    "accel": st.sampled_from(["tcg", "kvm"]),
    "process": st.builds(ob.ProcessIdentity, small, small, words),
    "evidence": st.just(EVIDENCE),
    "sha256": st.sampled_from([SHA256, PACKET]),
    "fraction": st.floats(0, 1),
    "exit_code": st.sampled_from([0, 3, 127]),
    "count": small,
    "seq": small,
    "ticket": small,
    "host_ports": st.just(()),
    "size": small,
    "length": st.sampled_from([0, 2048]),
    "error": st.sampled_from(["", "no-python", "result-too-large"]),
    "command": st.sampled_from(["cont", "stop", "quit", "query-status"]),
    "platform": st.just(PLATFORM),
    "claims": st.just(CLAIMS),
    "session": st.just(FIRST),
    "nonce": st.just(bytes(16)),
    "report": st.binary(max_size=8),
    "deadline_ms": small,  # 0 stands for the deadline that is due
}
"""What the fields of messages may hold, where their type does not say it."""

measured_with = st.sampled_from(
    [EVIDENCE_OF_LAUNCH, msgspec.structs.replace(EVIDENCE_OF_LAUNCH, policy=0)]
)

exits = st.builds(
    ob.ExitEvidence,
    exit_code=st.none() | small,
    signal=st.none() | small,
    stderr=words,
    console=words,
)


def structs(kind: type[S]) -> st.SearchStrategy[S]:
    """Any value of a message type."""
    fields = {
        field.name: measured_with
        if kind is ob.LaunchMeasured and field.name == "evidence"
        else KNOWN[field.name]
        if field.name in KNOWN and not (kind is ob.ProcessExited and field.name == "evidence")
        else st.from_type(field.type)
        for field in msgspec.structs.fields(kind)
    }
    return st.fixed_dictionaries(fields).map(lambda values: kind(**values))


st.register_type_strategy(ob.ExitEvidence, exits)

observations: st.SearchStrategy[Observation] = st.one_of(
    *(structs(kind) for kind in get_args(Observation))
)
OWNERS_ORDERS: list[Command] = [
    *(ProvideSession(each) for each in (FIRST, SECOND, THIRD)),
    INJECT,
    msgspec.structs.replace(INJECT, secret=b"another 16 bytes"),
    msgspec.structs.replace(INJECT, launch=2),
    ApproveLaunch(1, MEASUREMENT),
    ApproveLaunch(2, MEASUREMENT),
    RejectLaunch(1),
    RequestReport(bytes(16)),
]

commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(Stop, st.none() | small),
    st.sampled_from(OWNERS_ORDERS),
    st.sampled_from([ALGORITHM, DATA, OTHER_DATA, STRANGE]),
    *(st.just(kind()) for kind in (Start, Kill, Pause, Resume, Reset, Delete)),
)
