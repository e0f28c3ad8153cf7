"""What holds in every life, whatever happens in whatever order, however often the daemon dies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.vm import effects as fx
from supervisor.vm.commands import Kill, Start, Stop
from supervisor.vm.events import Outcome
from supervisor.vm.evolve import evolve
from supervisor.vm.inputs import awaited_inputs
from supervisor.vm.observations import Observation, TimerKind
from supervisor.vm.recover import recover
from supervisor.vm.state import ENDED, TRANSITIONS, Desired, Phase, VmState
from tests.strategies import commands, observations
from tests.vm.confidential_states import CONFIDENTIAL_STORIES, SEALED
from tests.vm.life import Happening, Life, Restart
from tests.vm.party_states import PARTY_STORIES, SHARED
from tests.vm.states import MANIFEST, RESTARTED, STORIES
from tests.vm.tables import addressed

Heard = tuple[Happening, bool, int]
"""What happens, whether it is of the current launch, and how many ms later."""


BEGINNINGS = (
    (MANIFEST, STORIES),
    (RESTARTED, STORIES),
    (SEALED, CONFIDENTIAL_STORIES),
    (SEALED, CONFIDENTIAL_STORIES),
    (SHARED, PARTY_STORIES),
)


@st.composite
def lives(draw: st.DrawFn) -> Life:
    """A life that begins with one of the stories and goes on at random."""
    manifest, stories = draw(st.sampled_from(BEGINNINGS))
    life = Life(manifest)
    for message in stories[draw(st.sampled_from(list(stories)))]:
        life.meet(message)
    for happening, current, elapsed_ms in draw(st.lists(heard, max_size=20)):
        life.now_ms += elapsed_ms
        aimed = current and not isinstance(happening, Restart)
        life.meet(addressed(life.state, happening) if aimed else happening)  # type: ignore[arg-type]
    return life


heard: st.SearchStrategy[Heard] = st.tuples(
    st.one_of(observations, observations, commands, st.just(Restart())),
    st.sampled_from([True, True, True, False]),
    st.integers(-5000, 100_000),  # clocks are set back, too
)


@pytest.mark.fault("runs-mixed-up")
@given(lives())
def test_replaying_the_log_gives_the_live_state(life: Life) -> None:
    assert life.replayed() == life.state
    assert life.state.version == len(life.records)


@given(lives())
def test_phases_change_only_as_the_table_says(life: Life) -> None:
    for step in life.steps:
        state = step.before
        for event in step.decision.events:
            after = evolve(state, event, life.now_ms)
            assert after.phase is state.phase or after.phase in TRANSITIONS[state.phase]
            state = after
        assert state.phase is step.after.phase


@given(lives())
def test_an_end_is_final_until_a_client_starts_it_again(life: Life) -> None:
    for step in life.steps:
        if step.before.phase in ENDED and not isinstance(step.happening, Start):
            assert step.after.phase in (step.before.phase, Phase.DELETED)
            assert step.after.outcome is step.before.outcome


@given(lives())
def test_nothing_is_written_or_done_after_a_deletion(life: Life) -> None:
    for step in life.steps:
        if step.before.phase is Phase.DELETED:
            assert step.decision.events == ()
            assert step.decision.effects == ()


@pytest.mark.fault("stop-does-not-last")
@given(lives())
def test_a_stop_stays_a_stop(life: Life) -> None:
    over = (Desired.ENDED, Desired.DELETED)
    for step in life.steps:
        if step.before.desired in over and not isinstance(step.happening, Start):
            assert step.after.phase in {Phase.STOPPING, *ENDED}
            assert step.after.desired in over


@given(lives())
def test_what_is_to_end_does_end(life: Life) -> None:
    for step in life.steps:
        if step.before.phase is Phase.STOPPING:
            assert step.after.phase in {Phase.STOPPING, Phase.BACKOFF, Phase.STOPPED, Phase.FAILED}


@given(lives())
def test_whatever_a_client_ended_is_launched_again_by_no_policy(life: Life) -> None:
    told = False
    for step in life.steps:
        match step.happening:
            case Stop() | Kill():
                told = step.before.phase is not Phase.DELETED
            case Start():
                told = told and step.before.phase is Phase.STOPPING
        if told:
            assert step.after.phase in {Phase.STOPPING, *ENDED}
            assert not any(isinstance(effect, fx.Reserve) for effect in step.decision.effects)


@given(lives())
def test_there_are_no_more_restarts_in_a_period_than_the_policy_allows(life: Life) -> None:
    for step in life.steps:
        policy, restarts = step.after.manifest.restart, step.after.restarts_ms
        assert len(restarts) <= policy.max_restarts
        assert step.after.phase is not Phase.BACKOFF or restarts


@pytest.mark.fault("runs-mixed-up")
@given(lives())
def test_a_launch_has_its_own_number(life: Life) -> None:
    asked: list[int] = []
    for step in life.steps:
        if isinstance(step.happening, Restart):
            asked.clear()  # what the daemon before had begun ended with it
        new = [e.launch for e in step.decision.effects if isinstance(e, fx.Reserve)]
        assert all(number > step.before.launch_number for number in new)
        asked += new
        assert len(asked) == len(set(asked))


@given(lives())
def test_whatever_may_run_has_a_deadline(life: Life) -> None:
    needed = {
        Phase.LAUNCHING: TimerKind.LAUNCH,
        Phase.AWAITING_VERIFICATION: TimerKind.VERIFICATION,
        Phase.AWAITING_SESSION: TimerKind.SESSION,
        Phase.AWAITING_INPUTS: TimerKind.INPUTS,
        Phase.RUNNING: TimerKind.TTL,
        Phase.PAUSED: TimerKind.TTL,
        Phase.STOPPING: TimerKind.STOP,
        Phase.BACKOFF: TimerKind.BACKOFF,
    }
    for step in life.steps:
        state = step.after
        if state.has_process or state.phase in BETWEEN_LAUNCHES:
            assert needed[state.phase] in state.deadlines
        else:
            assert state.deadlines == {}


BETWEEN_LAUNCHES = (Phase.BACKOFF, Phase.AWAITING_SESSION, Phase.AWAITING_INPUTS)


def timed_launch(state: VmState) -> int:
    between = state.phase in BETWEEN_LAUNCHES
    return state.next_launch if between else state.launch_number


@pytest.mark.fault("limits-in-memory")
@given(lives())
def test_every_deadline_has_its_timer_after_it_was_set_and_after_a_restart(life: Life) -> None:
    for step in life.steps:
        restarted = isinstance(step.happening, Restart)
        known = set() if restarted else set(step.before.deadlines.items())
        armed = {
            (effect.kind, effect.deadline_ms)
            for effect in step.decision.effects
            if isinstance(effect, fx.ArmTimer) and effect.launch == timed_launch(step.after)
        }
        assert set(step.after.deadlines.items()) - known <= armed


@pytest.mark.fault("stale-event")
@given(lives())
def test_what_another_launch_says_changes_nothing(life: Life) -> None:
    for step in life.steps:
        seen = step.happening
        if not isinstance(seen, Observation) or seen == addressed(step.before, seen):
            continue
        if seen.launch == step.before.launch_number:
            continue  # a timer that was armed again
        assert {effect.launch for effect in step.decision.effects} <= {seen.launch}
        assert step.after.phase is step.before.phase
        assert step.after.launch == step.before.launch
        assert step.after.deadlines == step.before.deadlines


@pytest.mark.fault("runs-twice")
@given(lives())
def test_a_launch_is_spawned_at_most_once(life: Life) -> None:
    spawned = [effect.launch for effect in life.effects if isinstance(effect, fx.SpawnQemu)]
    assert len(spawned) == len(set(spawned))


@given(lives())
def test_no_launch_is_prepared_while_an_input_is_missing(life: Life) -> None:
    for step in life.steps:
        for effect in step.decision.effects:
            if isinstance(effect, fx.Reserve):
                assert not step.after.missing_inputs
            if isinstance(effect, fx.PrepareLaunch):
                assert awaited_inputs(effect.manifest) == ()


@given(lives())
def test_an_input_that_came_stays_as_it_came(life: Life) -> None:
    for step in life.steps:
        came = step.before.provided
        assert step.after.provided[: len(came)] == came
        names = [each.name for each in step.after.provided]
        assert len(names) == len(set(names))


@given(lives())
def test_a_launch_is_intended_before_it_is_spawned(life: Life) -> None:
    for step in life.steps:
        for effect in step.decision.effects:
            if isinstance(effect, fx.SpawnQemu):
                assert step.after.phase is Phase.LAUNCHING
                assert step.after.launch_number == effect.launch


@given(lives())
def test_recovery_asks_the_same_questions_however_often_it_is_repeated(life: Life) -> None:
    first = recover(life.state)
    life.meet(Restart())
    assert recover(life.state) == first
    deleted = life.state.phase is Phase.DELETED
    assert (first == ()) == (deleted or _ended_with_nothing_to_clear(life))


def _ended_with_nothing_to_clear(life: Life) -> bool:
    ended = life.state.phase in ENDED and life.state.desired is not Desired.DELETED
    kept = life.state.outcome is Outcome.RESULT_REFUSED
    return ended and (life.state.launch is None or kept)
