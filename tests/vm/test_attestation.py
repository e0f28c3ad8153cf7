"""What holds for every confidential launch, whatever its owner, its host and its guest do."""

from collections import defaultdict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.vm import effects as fx
from supervisor.vm import events as ev
from supervisor.vm import observations as ob
from supervisor.vm.commands import (
    ApproveLaunch,
    CommandDenied,
    DenyReason,
    InjectSecret,
    ProvideSession,
)
from supervisor.vm.confidential import Evidence, GuestSession, Snp, SnpEvidence
from supervisor.vm.decide import decide
from supervisor.vm.state import AttestationStage, Phase
from tests.strategies import OWNERS_ORDERS, observations
from tests.vm.confidential_states import (
    CLAIMS,
    CONFIDENTIAL,
    CONFIDENTIAL_STORIES,
    EVIDENCE_OF_LAUNCH,
    FIRST,
    HEADER,
    INJECT,
    MEASURED,
    MEASUREMENT,
    PLATFORM,
    SEALED,
    SEALED_PREPARED,
    SECOND,
    SECRET,
    SEV,
    TRUSTED,
)
from tests.vm.life import Happening, Life, Restart
from tests.vm.states import DIRECTORY, IMAGES, LATER, QMP_READY, SHA256, SPAWNED, after, defined
from tests.vm.tables import addressed, render


def happenings(life: Life) -> st.SearchStrategy[Happening]:
    """What an owner, a host, a guest and a clock may do to a launch, and a daemon that dies."""
    prepared = msgspec.structs.replace(SEALED_PREPARED, launch=life.state.next_launch)
    likely: list[Happening] = [
        *OWNERS_ORDERS,
        msgspec.structs.replace(INJECT, launch=life.state.launch_number),
        prepared,
        ob.Reserved(0, ()),
        SPAWNED,
        QMP_READY,
        MEASURED,
        ob.GuestResumed(0),
        ob.NeverSpawned(0),
        ob.TimerFired(0, ob.TimerKind.BACKOFF, 0),
        Restart(),
    ]
    return st.one_of(st.sampled_from(likely), st.sampled_from(likely), observations)


@st.composite
def sealed_lives(draw: st.DrawFn) -> Life:
    life = Life(SEALED)
    for message in CONFIDENTIAL_STORIES[draw(st.sampled_from(list(CONFIDENTIAL_STORIES)))]:
        life.meet(message)
    for _ in range(draw(st.integers(0, 25))):
        happening = draw(happenings(life))
        life.now_ms += draw(st.integers(0, 3000))
        told = isinstance(happening, Restart)
        life.meet(happening if told else addressed(life.state, happening))  # type: ignore[arg-type]
    return life


@given(sealed_lives())
def test_a_launch_is_given_one_packet_at_most_and_only_after_it_is_durable(life: Life) -> None:
    given_to: dict[int, set[bytes]] = defaultdict(set)
    for step in life.steps:
        for effect in step.decision.effects:
            if isinstance(effect, fx.InjectSecret):
                assert effect.launch == step.after.launch_number
                assert step.after.current.packet_sha256 == effect.sha256
                given_to[effect.launch].add(effect.packet_header + effect.secret)
    assert all(len(packets) == 1 for packets in given_to.values())


@given(sealed_lives())
def test_no_guest_is_let_run_that_nobody_approved(life: Life) -> None:
    for step in life.steps:
        state = step.after
        if fx.ExecuteQmp(state.launch_number, fx.QmpCommand.CONT) in step.decision.effects:
            assert state.current.stage is AttestationStage.APPROVED
        if state.phase in (Phase.RUNNING, Phase.PAUSED):
            assert state.current.stage is AttestationStage.APPROVED


@given(sealed_lives())
def test_no_session_serves_two_launches_that_had_a_process(life: Life) -> None:
    spawned = [effect for effect in life.effects if isinstance(effect, fx.SpawnQemu)]
    abandoned = {
        event.launch
        for step in life.steps
        for event in step.decision.events
        if isinstance(event, ev.LaunchAbandoned)
    }
    used = [effect.session for effect in spawned if effect.launch not in abandoned]
    assert None not in used
    assert len(used) == len(set(used))


@given(sealed_lives())
def test_a_log_holds_no_byte_of_a_packet(life: Life) -> None:
    assert all(SECRET not in record.payload for record in life.records)


@pytest.mark.parametrize("state", CONFIDENTIAL)
def test_a_restart_in_any_state_gives_nothing_away_and_lets_nothing_run(state: str) -> None:
    life = Life(SEALED)
    for message in CONFIDENTIAL_STORIES[state]:
        life.meet(message)
    effects = life.meet(Restart()).effects
    assert life.state == CONFIDENTIAL[state]
    assert not any(isinstance(each, fx.InjectSecret | fx.ExecuteQmp) for each in effects)


def test_a_secret_whose_fate_a_crash_hid_is_sent_again_and_another_is_not() -> None:
    accepted = CONFIDENTIAL["accepted"]
    again = decide(accepted, INJECT, LATER)
    assert render(again) == "-> InjectSecret"
    with pytest.raises(CommandDenied, match="has a secret already"):
        decide(accepted, msgspec.structs.replace(INJECT, secret=b"one other secret"), LATER)


@pytest.mark.parametrize(
    ("evidence", "why"),
    [
        (msgspec.structs.replace(EVIDENCE_OF_LAUNCH, policy=1), "has the policy 0x1"),
        (msgspec.structs.replace(EVIDENCE_OF_LAUNCH, api_minor=22), "speaks API 0.22"),
        (msgspec.structs.replace(EVIDENCE_OF_LAUNCH, measurement="AAAA"), "not 48 bytes"),
        (SnpEvidence(0x30000, SHA256), "another kind"),
    ],
)
def test_evidence_that_is_not_what_was_ordered_ends_the_launch(
    evidence: Evidence, why: str
) -> None:
    measuring = CONFIDENTIAL["measuring"]
    seen = ob.LaunchMeasured(1, evidence)
    assert "StopOrdered(attestation-failed, quit)" in render(decide(measuring, seen, LATER))
    ended = after(measuring, seen, ob.ProcessExited(1, ob.ExitEvidence(exit_code=0)))
    assert ended.previous is not None
    assert why in ended.previous.detail


@pytest.mark.parametrize(
    ("check", "reaction"),
    [
        (ob.HostCheck.VERIFIED, "LaunchMeasured, LaunchApproved(host) -> ExecuteQmp(cont)"),
        (ob.HostCheck.REFUSED, "LaunchMeasured, StopOrdered(attestation-failed, quit)"),
        (ob.HostCheck.NOT_ASKED, "LaunchMeasured, StopOrdered(attestation-failed, quit)"),
    ],
)
def test_a_trusted_host_decides_by_itself(check: ob.HostCheck, reaction: str) -> None:
    prepared = msgspec.structs.replace(SEALED_PREPARED, session=SECOND)
    measuring = after(defined(TRUSTED), prepared, SPAWNED, QMP_READY)
    decision = decide(measuring, ob.LaunchMeasured(1, EVIDENCE_OF_LAUNCH, check), LATER)
    assert render(decision).startswith(reaction)


def test_an_owner_is_not_spared_the_decision_by_a_host_that_says_verified() -> None:
    seen = ob.LaunchMeasured(1, EVIDENCE_OF_LAUNCH, ob.HostCheck.VERIFIED)
    assert after(CONFIDENTIAL["measuring"], seen).phase is Phase.AWAITING_VERIFICATION


def test_a_session_given_back_by_an_abandoned_launch_serves_the_next() -> None:
    abandoned = after(CONFIDENTIAL["starting"], ob.NeverSpawned(1))
    assert (abandoned.phase, abandoned.session) == (Phase.DEFINED, FIRST)
    prepared = msgspec.structs.replace(SEALED_PREPARED, launch=2)
    assert after(abandoned, prepared).current.session == FIRST


def test_a_launch_that_waits_for_a_session_begins_when_it_comes() -> None:
    provided = after(CONFIDENTIAL["owing"], ProvideSession(SECOND))
    assert (provided.phase, provided.session) == (Phase.DEFINED, SECOND)
    prepared = msgspec.structs.replace(SEALED_PREPARED, launch=2)
    (spawn, _) = decide(provided, prepared, LATER).effects
    assert isinstance(spawn, fx.SpawnQemu)
    assert spawn.session == SECOND


def test_a_session_that_came_early_is_not_waited_for() -> None:
    early = after(CONFIDENTIAL["resting"], ProvideSession(SECOND))
    due = addressed(early, ob.TimerFired(0, ob.TimerKind.BACKOFF, 0))
    assert render(decide(early, due, LATER)) == "BackoffElapsed -> ReleaseLaunch, Reserve"


HAVE_RUN = [state for state in ob.RunState if state is not ob.RunState.PRELAUNCH]


@pytest.mark.parametrize("state", ["starting", "measuring", "awaiting", "accepted"])
@pytest.mark.parametrize(
    "seen",
    [
        *(ob.RunStateObserved(1, run_state) for run_state in HAVE_RUN),
        ob.GuestShutDown(1, ob.ShutdownCause.GUEST_SHUTDOWN),
        ob.GuestShutDown(1, ob.ShutdownCause.GUEST_RESET),
        ob.GuestShutDown(1, ob.ShutdownCause.UNKNOWN),
        ob.GuestPanicked(1),
        ob.GuestHung(1),
        ob.GuestSuspended(1),
    ],
    ids=repr,
)
def test_whatever_only_a_guest_that_ran_can_do_ends_a_launch_nobody_approved(
    state: str, seen: ob.Observation
) -> None:
    events = decide(CONFIDENTIAL[state], seen, LATER).events
    assert ev.LaunchBypassed(1) in events
    ended = after(CONFIDENTIAL[state], seen).ending
    assert ended is not None
    assert (ended.outcome, ended.step) == (ev.Outcome.LAUNCH_BYPASSED, ev.StopStep.KILL)


def test_a_guest_that_escapes_while_its_launch_ends_is_killed_and_told_of_once() -> None:
    rejected = CONFIDENTIAL["rejected"]
    escape = ob.GuestResumed(1)
    assert ev.LaunchBypassed(1) in decide(rejected, escape, LATER).events
    killed = after(rejected, escape)
    assert decide(killed, escape, LATER).events == ()
    assert decide(killed, ob.RunStateObserved(1, ob.RunState.RUNNING), LATER).events == ()


@pytest.mark.parametrize("cause", [ob.ShutdownCause.HOST_QUIT, ob.ShutdownCause.HOST_SIGNAL])
def test_a_host_that_ends_a_launch_nobody_approved_did_not_let_it_run(
    cause: ob.ShutdownCause,
) -> None:
    events = decide(CONFIDENTIAL["awaiting"], ob.GuestShutDown(1, cause), LATER).events
    assert ev.LaunchBypassed(1) not in events


@pytest.mark.parametrize("command", [INJECT, ApproveLaunch(1, MEASUREMENT)])
def test_a_launch_is_not_let_run_once_its_owner_had_the_time(
    command: InjectSecret | ApproveLaunch,
) -> None:
    awaiting = CONFIDENTIAL["awaiting"]
    deadline = awaiting.deadlines[ob.TimerKind.VERIFICATION]
    assert decide(awaiting, command, deadline - 1).effects
    with pytest.raises(CommandDenied, match="its deadline was 3") as denied:
        decide(awaiting, command, deadline + 3000)
    with pytest.raises(CommandDenied):
        decide(awaiting, command, deadline)
    assert denied.value.reason is DenyReason.WRONG_PHASE


def test_a_session_that_comes_late_begins_no_launch() -> None:
    owing = CONFIDENTIAL["owing"]
    deadline = owing.deadlines[ob.TimerKind.SESSION]
    assert decide(owing, ProvideSession(SECOND), deadline - 1).effects
    with pytest.raises(CommandDenied, match="its deadline was") as denied:
        decide(owing, ProvideSession(SECOND), deadline)
    assert denied.value.reason is DenyReason.WRONG_PHASE


def test_a_firmware_without_an_area_for_secrets_gets_none() -> None:
    claims = msgspec.structs.replace(CLAIMS, secret_room=0)
    prepared = msgspec.structs.replace(SEALED_PREPARED, claims=claims)
    awaiting = after(defined(SEALED), prepared, SPAWNED, QMP_READY, MEASURED)
    with pytest.raises(CommandDenied, match="has no area for a secret") as denied:
        decide(awaiting, INJECT, LATER)
    assert denied.value.reason is DenyReason.SECRET_TOO_LARGE
    assert decide(awaiting, ApproveLaunch(1, MEASUREMENT), LATER).effects


@pytest.mark.parametrize("size", [1, 15, 17, 255])
def test_a_secret_that_is_not_of_whole_blocks_is_refused_under_its_field(size: int) -> None:
    command = msgspec.structs.replace(INJECT, secret=bytes(size))
    with pytest.raises(CommandDenied, match="a multiple of 16") as denied:
        decide(CONFIDENTIAL["awaiting"], command, LATER)
    assert denied.value.reason is DenyReason.INVALID_ARGUMENT
    assert [each.field for each in denied.value.violations] == ["secret"]


def test_a_session_of_wrong_size_is_refused() -> None:
    with pytest.raises(CommandDenied, match="128 bytes in base64"):
        decide(CONFIDENTIAL["owing"], ProvideSession(GuestSession(FIRST.godh_cert, "AA==")), LATER)


def test_a_host_that_would_launch_something_else_is_told_before_it_does() -> None:
    wanted = msgspec.structs.replace(SEV, expected_digest="cd" * 32)
    state = defined(msgspec.structs.replace(SEALED, confidential=wanted))
    decision = decide(state, SEALED_PREPARED, LATER)
    assert render(decision).startswith("LaunchEnded(attestation-failed) -> ReleaseLaunch")


def test_an_snp_launch_runs_at_once_and_says_what_it_was_bound_to() -> None:
    manifest = msgspec.structs.replace(SEALED, confidential=Snp())
    prepared = ob.LaunchPrepared(1, DIRECTORY, IMAGES, "kvm", platform=PLATFORM, claims=CLAIMS)
    spawned = after(defined(manifest), prepared, SPAWNED)
    decision = decide(spawned, QMP_READY, LATER)
    assert render(decision) == "QmpReady, LaunchMeasured -> ExecuteQmp(cont)"
    assert after(spawned, QMP_READY, ob.GuestResumed(1)).phase is Phase.RUNNING
    with pytest.raises(CommandDenied, match="do not wait"):
        decide(spawned, ApproveLaunch(1, MEASUREMENT), LATER)


def test_only_a_report_that_was_asked_for_is_recorded_and_only_once() -> None:
    running = CONFIDENTIAL["shielded"]
    report = ob.ReportReceived(1, bytes(16), bytes(208))
    assert decide(running, report, LATER).events == ()
    asked = after(running, OWNERS_ORDERS[-1])
    assert render(decide(asked, report, LATER)) == "ReportReceived"
    assert decide(after(asked, report), report, LATER).events == ()


def test_what_holds_a_secret_does_not_print_it() -> None:
    (effect,) = decide(CONFIDENTIAL["awaiting"], INJECT, LATER).effects
    told = f"{InjectSecret(1, MEASUREMENT, HEADER, SECRET)!r} {effect!r}"
    assert "wrapped" not in told
