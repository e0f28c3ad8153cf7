"""Inputs of several parties: what is awaited, what came, and who may have the result."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.vm import effects as fx
from supervisor.vm import observations as ob
from supervisor.vm.commands import CommandDenied, DenyReason, ProvideInput, Start
from supervisor.vm.consumers import check_consumer
from supervisor.vm.decide import decide
from supervisor.vm.decision import NOTHING
from supervisor.vm.events import InputsAwaited, Outcome, VmFailed
from supervisor.vm.inputs import (
    TOLD,
    InputName,
    ProvidedInput,
    awaited_inputs,
    listed,
    missing_inputs,
    with_inputs,
)
from supervisor.vm.launching import begin_launch
from supervisor.vm.observations import TimerKind
from supervisor.vm.recover import recover
from supervisor.vm.spec import Algorithm, Dataset, Manifest
from supervisor.vm.state import Phase
from tests.vm.party_states import (
    ALGORITHM,
    DATA,
    INPUTS_MS,
    OTHER_DATA,
    OVERDUE,
    PARTIES,
    SHARED,
    STRANGE,
)
from tests.vm.states import LATER, MANIFEST, NOW, SHA256, after, defined

WAITING = PARTIES["waiting"]
ALICE, BOB = InputName("Alice", "algorithm"), InputName("Bob", "iris")


def test_what_has_no_digest_is_awaited_under_its_id_or_else_its_name() -> None:
    manifest = msgspec.structs.replace(
        SHARED, datasets=(Dataset("a", provider="P"), Dataset("b", provider="P", id="x"))
    )
    names = [InputName("P", "a"), InputName("P", "x")]
    assert awaited_inputs(manifest) == (ALICE, *names)
    assert awaited_inputs(SHARED) == (ALICE, BOB)
    assert awaited_inputs(MANIFEST) == ()


def test_a_vm_that_awaits_inputs_has_neither_turn_nor_process() -> None:
    assert WAITING.phase is Phase.AWAITING_INPUTS
    assert WAITING.deadlines == {TimerKind.INPUTS: NOW + INPUTS_MS}
    assert recover(WAITING) == (fx.ArmTimer(1, TimerKind.INPUTS, NOW + INPUTS_MS),)


@pytest.mark.parametrize("order", [(ALGORITHM, DATA), (DATA, ALGORITHM)])
def test_with_the_last_input_the_launch_begins_whoever_comes_first(
    order: tuple[ProvideInput, ProvideInput],
) -> None:
    complete = after(WAITING, *order)
    assert (complete.phase, complete.deadlines) == (Phase.DEFINED, {})
    assert decide(after(WAITING, order[0]), order[1], LATER).effects == begin_launch(complete)
    (prepare,) = decide(complete, ob.Reserved(1, ()), LATER).effects
    assert isinstance(prepare, fx.PrepareLaunch)
    assert prepare.manifest.algorithm.sha256 == ALGORITHM.sha256
    assert [each.sha256 for each in prepare.manifest.datasets] == [DATA.sha256, SHA256]
    assert complete.manifest == SHARED


def test_a_place_in_the_queue_counts_from_the_last_input() -> None:
    assert after(WAITING, ALGORITHM, DATA, now_ms=LATER).due_ms == LATER


def test_what_is_not_awaited_is_refused_with_the_names_of_what_is() -> None:
    with pytest.raises(CommandDenied) as denied:
        decide(PARTIES["halfway"], STRANGE, LATER)
    assert denied.value.reason is DenyReason.INPUT_UNKNOWN
    assert denied.value.detail.endswith("awaits no input 'Mallory/iris'; it awaits Alice/algorithm")


def test_other_bytes_do_not_take_the_place_of_what_came() -> None:
    halfway = PARTIES["halfway"]
    with pytest.raises(CommandDenied, match=DATA.sha256):
        decide(halfway, OTHER_DATA, LATER)
    assert halfway.provided == (ProvidedInput(BOB, DATA.sha256, DATA.size),)


def test_what_comes_after_the_deadline_is_too_late_although_no_timer_fired_yet() -> None:
    with pytest.raises(CommandDenied) as denied:
        decide(WAITING, DATA, NOW + INPUTS_MS)
    assert denied.value.reason is DenyReason.WRONG_PHASE
    assert after(WAITING, DATA, now_ms=NOW + INPUTS_MS - 1).provided


def test_the_deadline_ends_a_vm_for_good_and_says_what_is_missing() -> None:
    (failed,) = decide(PARTIES["halfway"], OVERDUE, OVERDUE.deadline_ms).events
    assert isinstance(failed, VmFailed)
    assert failed.outcome is Outcome.INPUTS_DEADLINE
    assert failed.detail == "not every input had come by the deadline: Alice/algorithm"


def test_a_vm_that_is_started_again_waits_only_for_what_is_missing() -> None:
    events = decide(PARTIES["overdue"], Start(), LATER).events
    assert events[1:] == (InputsAwaited((ALICE,), LATER + INPUTS_MS),)


def test_who_waits_uses_up_no_launch_and_leaves_no_timer_that_is_heard_later() -> None:
    withdrawn = PARTIES["withdrawn"]
    assert withdrawn.next_launch == WAITING.next_launch
    assert decide(withdrawn, OVERDUE, LATER) == NOTHING
    (timer,) = decide(withdrawn, Start(), LATER).effects
    assert timer == fx.ArmTimer(OVERDUE.launch, TimerKind.INPUTS, LATER + INPUTS_MS)


def test_many_names_are_counted() -> None:
    names = [InputName("P", str(number)) for number in range(TOLD + 2)]
    assert listed(names) == "P/0, P/1, P/2, P/3, P/4 and 2 more"
    assert listed(names[:1]) == "P/0"


@pytest.mark.parametrize(
    ("consumers", "allowed"),
    [
        ((), {"uid:1000", "uid:1001", "token:default"}),
        (("token:default",), {"uid:1000", "token:default"}),
        (("uid:1000",), {"uid:1000"}),
    ],
)
def test_a_result_is_for_its_submitter_and_the_named_consumers(
    consumers: tuple[str, ...], allowed: set[str]
) -> None:
    state = defined(msgspec.structs.replace(MANIFEST, result_consumers=consumers))
    for principal in ("uid:1000", "uid:1001", "token:default"):
        if principal in allowed:
            check_consumer(state, principal)
        else:
            with pytest.raises(CommandDenied, match=f"; {principal} is neither") as denied:
                check_consumer(state, principal)
            assert denied.value.reason is DenyReason.NOT_A_CONSUMER


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    provided = st.sampled_from(["", SHA256])
    datasets = [
        Dataset(f"d{number}", draw(provided), draw(st.sampled_from(["P", "Q"])))
        for number in range(draw(st.integers(0, 4)))
    ]
    return Manifest("m", Algorithm(draw(provided), "P"), datasets=tuple(datasets))


@given(manifests(), st.data())
def test_what_came_and_what_is_missing_is_what_was_awaited(
    manifest: Manifest, data: st.DataObject
) -> None:
    awaited = awaited_inputs(manifest)
    some = data.draw(st.lists(st.sampled_from(awaited), unique=True) if awaited else st.just([]))
    came = [ProvidedInput(name, "cd" * 32, 1) for name in some]
    missing = missing_inputs(manifest, came)
    assert sorted(map(str, (*missing, *some))) == sorted(map(str, awaited))
    assert awaited_inputs(with_inputs(manifest, came)) == missing
