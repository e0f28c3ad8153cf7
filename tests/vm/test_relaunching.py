"""From the end of one launch to the next: by the restart policy, or by a client."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.vm import effects as fx
from supervisor.vm import events as ev
from supervisor.vm import observations as ob
from supervisor.vm.commands import Delete, Kill, Start, Stop
from supervisor.vm.decide import decide
from supervisor.vm.events import Outcome
from supervisor.vm.guest_agent import ReferenceAgent
from supervisor.vm.observations import TimerKind
from supervisor.vm.outcomes import IN_GOOD_ORDER
from supervisor.vm.relaunching import LAST_WORDS, backoff_ms, is_followed, may_be_followed
from supervisor.vm.spec import RestartOn, RestartPolicy
from supervisor.vm.state import Desired, Phase, VmState
from tests.vm.states import (
    BACKOFF_MS,
    COLLECTED,
    CRASH,
    DIRECTORY,
    ELAPSED,
    EXITED,
    FINISHED,
    IMAGES,
    MANIFEST,
    NOW,
    RESTARTED,
    STATES,
    TO_COMPUTING,
    TO_STOPPED,
    after,
    defined,
)
from tests.vm.tables import DUE, Message, addressed, reaction

BACKOFF = STATES["backoff"]
AGAIN = STATES["again"]
ALWAYS = msgspec.structs.replace(
    MANIFEST, restart=RestartPolicy(RestartOn.ALWAYS, max_restarts=1, backoff_ms=BACKOFF_MS)
)
REFUSED = ob.ResultRefused(1, "the header has launch 7")


@pytest.mark.parametrize("outcome", Outcome)
def test_a_policy_follows_on_what_nobody_ordered(outcome: Outcome) -> None:
    agent = ReferenceAgent()
    followed = {on for on in RestartOn if is_followed(RestartPolicy(on), outcome, agent)}
    assert followed <= {on for on in RestartOn if may_be_followed(RestartPolicy(on), outcome)}
    if outcome in LAST_WORDS:
        assert followed == set()
    elif outcome in IN_GOOD_ORDER:
        assert followed == {RestartOn.ALWAYS}
    else:
        assert followed == {RestartOn.FAILURE, RestartOn.ALWAYS}


def test_the_wait_doubles_up_to_its_bound() -> None:
    policy = RestartPolicy(RestartOn.ALWAYS, backoff_ms=1000, backoff_max_ms=5000)
    assert [backoff_ms(policy, restart) for restart in range(1, 6)] == [
        1000,
        2000,
        4000,
        5000,
        5000,
    ]


@given(st.integers(1, 10**9), st.integers(1, 10**9), st.integers(1, 10**6))
def test_the_wait_is_bounded_however_often_it_was_doubled(
    first: int, longest: int, restart: int
) -> None:
    policy = RestartPolicy(RestartOn.ALWAYS, backoff_ms=first, backoff_max_ms=longest)
    wait = backoff_ms(policy, restart)
    assert min(first, longest) <= wait <= longest
    assert restart < 2 or wait == min(longest, 2 * backoff_ms(policy, restart - 1))


def relaunched(state: VmState, launch: int, now_ms: int = NOW) -> VmState:
    """Go from a wait to a guest that runs."""
    return after(
        state,
        ob.TimerFired(launch, TimerKind.BACKOFF, state.deadlines[TimerKind.BACKOFF]),
        ob.LaunchPrepared(launch, DIRECTORY, IMAGES, "tcg"),
        ob.GuestResumed(launch),
        now_ms=now_ms,
    )


def test_a_launch_that_ended_is_remembered_and_forgotten_by_the_next() -> None:
    assert BACKOFF.previous is not None
    assert (BACKOFF.previous.number, BACKOFF.previous.outcome) == (1, Outcome.QEMU_CRASHED)
    assert "signal 11" in BACKOFF.detail
    assert (BACKOFF.outcome, BACKOFF.ended_ms) == (None, None)
    assert BACKOFF.deadlines == {TimerKind.BACKOFF: NOW + BACKOFF_MS}
    assert (AGAIN.detail, AGAIN.started_ms, AGAIN.progress, AGAIN.exit_code) == (
        "",
        None,
        None,
        None,
    )
    assert AGAIN.previous == BACKOFF.previous
    assert relaunched(BACKOFF, 2).launch_number == 2


@pytest.mark.fault("limits-in-memory")
def test_past_the_intensity_the_vm_fails_and_says_so() -> None:
    second = after(relaunched(BACKOFF, 2), ob.ProcessExited(2, CRASH))
    assert second.deadlines == {TimerKind.BACKOFF: NOW + 2 * BACKOFF_MS}
    third = after(relaunched(second, 3), ob.ProcessExited(3, CRASH))
    assert (third.phase, third.outcome) == (Phase.FAILED, Outcome.QEMU_CRASHED)
    assert third.detail.endswith("not launched again after 2 restarts in 600 s")


def test_restarts_stop_counting_after_the_period() -> None:
    later = NOW + RESTARTED.restart.period_ms
    second = after(relaunched(BACKOFF, 2), ob.ProcessExited(2, CRASH), now_ms=later)
    assert second.restarts_ms == (later,)
    assert second.deadlines == {TimerKind.BACKOFF: later + BACKOFF_MS}


def test_always_follows_on_a_completed_computation_and_keeps_its_result() -> None:
    waiting = after(defined(ALWAYS), *TO_STOPPED)
    assert waiting.phase is Phase.BACKOFF
    again = relaunched(waiting, 2)
    assert again.result is not None
    assert again.exit_code is None
    finished = after(
        again,
        msgspec.structs.replace(FINISHED, launch=2),
        msgspec.structs.replace(EXITED, launch=2),
        msgspec.structs.replace(COLLECTED, launch=2),
    )
    assert (finished.phase, finished.outcome) == (Phase.STOPPED, Outcome.COMPLETED)
    assert "not launched again after 1 restarts" in finished.detail


@pytest.mark.parametrize("order", [Stop(), Kill()], ids=["stop", "kill"])
def test_a_client_has_the_last_word_while_a_launch_ends_by_itself(order: Stop | Kill) -> None:
    crashing = STATES["crashing"]
    assert crashing.desired is Desired.RUNNING
    cancelled = after(crashing, order)
    assert cancelled.desired is Desired.ENDED
    assert reaction(cancelled, ob.ProcessExited(1, CRASH)) == (
        "ProcessExited, VmFailed(guest-panicked) -> ReleaseLaunch"
    )


@pytest.mark.parametrize(
    ("message", "desired"),
    [
        (Stop(), Desired.ENDED),
        (Kill(), Desired.ENDED),
        (ob.TimerFired(1, TimerKind.TTL, DUE), Desired.ENDED),
        (ob.GuestPanicked(1), Desired.RUNNING),
        (FINISHED, Desired.RUNNING),
    ],
    ids=["stop", "kill", "ttl", "panic", "finished"],
)
def test_what_is_wanted_once_a_stop_is_ordered_is_what_the_policy_may_follow_on(
    message: Message, desired: Desired
) -> None:
    for manifest, wanted in ((ALWAYS, desired), (MANIFEST, Desired.ENDED)):
        computing = after(defined(manifest), *TO_COMPUTING)
        stopping = after(computing, addressed(computing, message))
        assert (stopping.phase, stopping.desired) == (Phase.STOPPING, wanted)


@pytest.mark.parametrize("order", [Stop(), Kill(), Delete()], ids=["stop", "kill", "delete"])
def test_a_client_ends_a_wait_at_once_and_for_good(order: Stop | Kill | Delete) -> None:
    ended = after(BACKOFF, order)
    assert ended.phase is Phase.STOPPED
    assert ended.deadlines == {}
    assert after(ended, ELAPSED) == ended


def test_a_client_ends_a_wait_with_a_launch() -> None:
    started = after(BACKOFF, Start())
    assert started.phase is Phase.DEFINED
    assert started.restarts_ms == ()
    assert after(started, ELAPSED) == started
    running = relaunched_by_client(started)
    # The timer of the wait may still be armed; it is of this very launch, and means nothing now.
    assert after(running, ELAPSED) == running


def relaunched_by_client(state: VmState) -> VmState:
    launch = state.next_launch
    prepared = ob.LaunchPrepared(launch, DIRECTORY, IMAGES, "tcg")
    return after(state, prepared, ob.GuestResumed(launch))


def test_a_start_forgets_the_end_and_the_log_does_not() -> None:
    started = after(STATES["stopped"], Start())
    assert (started.outcome, started.detail, started.result) == (None, "", None)
    assert (started.ending, started.ended_ms, started.desired) == (None, None, Desired.RUNNING)
    assert started.previous is not None
    assert started.previous.outcome is Outcome.COMPLETED
    assert relaunched_by_client(started).launch_number == 2


def test_a_start_lets_go_of_a_result_that_could_not_be_taken() -> None:
    refused = after(STATES["collecting"], REFUSED)
    assert "until it is started again or deleted" in refused.detail
    assert reaction(refused, Start()) == "StartOrdered -> ReleaseLaunch, Reserve"


def test_a_restart_lets_go_of_a_result_that_could_not_be_taken() -> None:
    collecting = after(defined(RESTARTED), *TO_COMPUTING, FINISHED, EXITED)
    assert reaction(collecting, REFUSED) == (
        "ResultRefused, LaunchEnded(result-refused) -> ReleaseLaunch, ArmTimer(backoff)"
    )


def test_files_made_for_a_vm_that_was_stopped_are_not_those_of_the_next_launch() -> None:
    stopped = after(STATES["defined"], Stop())
    started = after(stopped, Start())
    late = ob.LaunchPrepared(1, DIRECTORY, IMAGES, "tcg")
    assert decide(started, late, NOW).effects == (fx.ReleaseLaunch(1, DIRECTORY),)
    assert decide(started, late, NOW).events == ()
    assert relaunched_by_client(started).launch_number == 2


def test_a_host_that_rebooted_is_a_failure_to_the_policy() -> None:
    computing = after(defined(RESTARTED), *TO_COMPUTING)
    decision = decide(computing, ob.HostRebooted(1), NOW)
    (ended,) = decision.events
    assert isinstance(ended, ev.LaunchEnded)
    assert ended.outcome is Outcome.LOST_BY_REBOOT
    assert fx.ArmTimer(2, TimerKind.BACKOFF, ended.deadline_ms) in decision.effects
