"""A guest with an agent of its own: waited for, never spoken with, and done when it powers off."""

import json

import msgspec
import pytest

from supervisor.vm import effects as fx
from supervisor.vm import events as ev
from supervisor.vm import observations as ob
from supervisor.vm.commands import Command, Reset, Stop
from supervisor.vm.decide import decide
from supervisor.vm.decision import NOTHING
from supervisor.vm.effects import Effect
from supervisor.vm.guest_agent import ConsoleReady, OwnAgent
from supervisor.vm.observations import ReadyBy, TimerKind
from supervisor.vm.qemu_argv import qemu_argv
from supervisor.vm.recover import recover
from supervisor.vm.spec import Algorithm, Forward, Manifest, Network, NetworkMode, RestartOn
from supervisor.vm.spec import RestartPolicy as Policy
from supervisor.vm.state import Phase, VmState
from tests.vm.states import (
    DIRECTORY,
    EVIDENCE,
    EXIT,
    IMAGES,
    LATER,
    MANIFEST,
    NOW,
    PROCESS,
    QMP_READY,
    RESUMED,
    SHA256,
    SPAWNED,
    after,
    defined,
)

PORTS = (20_001, 20_002)
BY_PORT = msgspec.structs.replace(
    MANIFEST,
    algorithm=Algorithm(),
    agent=OwnAgent(),
    network=Network(NetworkMode.RESTRICTED, (Forward(8080),)),
)
BY_LINE = msgspec.structs.replace(BY_PORT, agent=OwnAgent(ready=ConsoleReady("*login:*")))
WITHOUT_PORT = msgspec.structs.replace(
    BY_PORT, agent=OwnAgent(None, ConsoleReady("*login:*")), network=Network()
)
READY = ob.GuestReady(1, ReadyBy.PORT)
POWERED_OFF = ob.GuestShutDown(1, ob.ShutdownCause.GUEST_SHUTDOWN)
EXITED = ob.ProcessExited(1, EXIT)
AWAIT_PORT = fx.AwaitPort(1, guest_port=7002, host_port=PORTS[1])
AWAIT_LINE = fx.AwaitLine(1, DIRECTORY, "*login:*")


def launched(manifest: Manifest, *more: Command | ob.Observation) -> VmState:
    ports = PORTS if manifest.agent != WITHOUT_PORT.agent else ()
    prepared = ob.LaunchPrepared(1, DIRECTORY, IMAGES, "tcg", ports)
    return after(defined(manifest), prepared, SPAWNED, QMP_READY, *more)


def effects(state: VmState, message: Command | ob.Observation) -> tuple[Effect, ...]:
    return decide(state, message, LATER).effects


def waits(orders: tuple[Effect, ...]) -> list[Effect]:
    return [order for order in orders if isinstance(order, fx.AwaitPort | fx.AwaitLine)]


@pytest.mark.parametrize(
    ("manifest", "wait"),
    [(BY_PORT, AWAIT_PORT), (BY_LINE, AWAIT_LINE), (WITHOUT_PORT, AWAIT_LINE), (MANIFEST, None)],
)
def test_a_guest_that_starts_is_waited_for_until_it_is_ready(
    manifest: Manifest, wait: Effect | None
) -> None:
    assert waits(effects(launched(manifest), RESUMED)) == ([wait] if wait else [])


def test_until_it_is_ready_it_has_the_launch_deadline_and_then_its_time_to_live() -> None:
    limits = BY_PORT.limits
    starting = launched(BY_PORT, RESUMED)
    assert starting.deadlines == {
        TimerKind.LAUNCH: NOW + limits.launch_deadline_ms,
        TimerKind.TTL: NOW + limits.launch_deadline_ms + limits.ttl_ms,
    }
    decision = decide(starting, READY, LATER)
    deadline = LATER + limits.ttl_ms
    assert decision.events == (ev.GuestReady(1, ReadyBy.PORT, deadline),)
    assert decision.effects == (fx.ArmTimer(1, TimerKind.TTL, deadline),)
    ready = after(starting, READY, now_ms=LATER)
    assert ready.deadlines == {TimerKind.TTL: deadline}
    assert decide(ready, READY, LATER).events == ()


@pytest.mark.parametrize("before", [(), (RESUMED, Stop())])
def test_ready_before_it_started_or_once_it_is_to_end_means_nothing(
    before: tuple[Command | ob.Observation, ...],
) -> None:
    assert decide(launched(BY_PORT, *before), READY, LATER) == NOTHING


def test_one_that_is_never_ready_fails_by_the_launch_deadline() -> None:
    state = launched(BY_PORT, RESUMED)
    due = state.deadlines[TimerKind.LAUNCH]
    ended = after(state, ob.TimerFired(1, TimerKind.LAUNCH, due), EXITED, now_ms=due)
    assert (ended.phase, ended.outcome) == (Phase.FAILED, ev.Outcome.LAUNCH_DEADLINE)
    assert ended.detail == "the guest was not ready by the launch deadline"


@pytest.mark.parametrize(("state", "again"), [(RESUMED, [AWAIT_PORT]), (READY, [])])
def test_after_a_restart_of_the_daemon_only_one_that_is_not_ready_is_waited_for(
    state: ob.Observation, again: list[Effect]
) -> None:
    known = launched(BY_PORT, RESUMED, state)
    (reattach, *_) = recover(known)
    assert isinstance(reattach, fx.Reattach)
    assert reattach.agent == BY_PORT.agent
    found = ob.Reattached(1, PROCESS, ob.RunState.RUNNING, EVIDENCE)
    assert waits(effects(known, found)) == again


def test_one_whose_start_nobody_recorded_is_waited_for_once() -> None:
    found = ob.Reattached(1, PROCESS, ob.RunState.RUNNING, EVIDENCE)
    assert waits(effects(launched(BY_PORT), found)) == [AWAIT_PORT]


def test_a_reset_has_it_become_ready_anew_within_the_same_time_to_live() -> None:
    ready = launched(BY_LINE, RESUMED, READY, Reset())
    was_reset = ob.GuestWasReset(1, by_guest=False)
    since_reset = fx.AwaitLine(1, DIRECTORY, "*login:*", fx.LinesSince.RESET)
    assert waits(effects(ready, was_reset)) == [since_reset]
    anew = after(ready, was_reset)
    assert TimerKind.LAUNCH in anew.deadlines
    decision = decide(anew, READY, LATER)
    assert decision.events == (ev.GuestReady(1, ReadyBy.PORT, ready.deadlines[TimerKind.TTL]),)
    assert fx.ExecuteQmp(1, fx.QmpCommand.FORBID_REBOOT) in decision.effects


def test_a_power_off_is_its_good_end_with_or_without_a_result() -> None:
    state = launched(BY_PORT, RESUMED, READY, POWERED_OFF)
    assert fx.CollectResult(1, DIRECTORY, BY_PORT.limits.result_bytes) in effects(state, EXITED)
    gone = after(state, EXITED)
    without = after(gone, ob.ResultRefused(1, "the header was never written"))
    assert (without.phase, without.outcome) == (Phase.STOPPED, ev.Outcome.GUEST_POWERED_OFF)
    assert (without.exit_code, without.result) == (None, None)
    assert without.detail == "the guest powered off; no result: the header was never written"
    left = after(gone, ob.ResultCollected(1, SHA256, 2048, exit_code=0))
    assert (left.phase, left.outcome, left.exit_code) == (Phase.STOPPED, ev.Outcome.COMPLETED, 0)
    failed = after(gone, ob.ResultCollected(1, SHA256, 2048, exit_code=3))
    assert (failed.phase, failed.exit_code) == (Phase.FAILED, 3)


@pytest.mark.parametrize(
    ("policy", "phase"), [(RestartOn.FAILURE, Phase.STOPPED), (RestartOn.ALWAYS, Phase.BACKOFF)]
)
def test_a_restart_policy_takes_a_power_off_for_a_success(policy: RestartOn, phase: Phase) -> None:
    manifest = msgspec.structs.replace(BY_PORT, restart=Policy(policy))
    off = launched(manifest, RESUMED, READY, POWERED_OFF, EXITED)
    assert after(off, ob.ResultRefused(1, "none")).phase is phase


def test_it_is_asked_to_end_with_the_power_button_alone() -> None:
    orders = effects(launched(BY_PORT, RESUMED, READY), Stop())
    assert fx.ExecuteQmp(1, fx.QmpCommand.POWERDOWN) in orders
    assert not any(isinstance(order, fx.StopComputation) for order in orders)


@pytest.mark.parametrize(("manifest", "ports"), [(BY_PORT, 2), (WITHOUT_PORT, 0), (MANIFEST, 0)])
def test_qemu_gives_it_its_forward_and_no_port_of_the_reference_agent(
    manifest: Manifest, ports: int
) -> None:
    argv = qemu_argv(
        manifest,
        vm_id="iris",
        launch=1,
        directory=DIRECTORY,
        images=IMAGES,
        accel="tcg",
        host_ports=PORTS[:ports],
    )
    line = " ".join(argv)
    assert line.count("hostfwd=") == ports
    assert ("hostfwd=tcp:127.0.0.1:20002-:7002" in line) is (ports == 2)
    reference = manifest is MANIFEST
    assert ("virtio-serial-pci" in line) is reference
    assert ("org.chronovisor.agent.0" in line) is reference


def test_the_event_is_read_back_as_it_was_written() -> None:
    event = ev.GuestReady(1, ReadyBy.CONSOLE, NOW)
    written = json.loads(msgspec.json.encode(event))
    assert written == {"launch": 1, "by": "console", "ttl_deadline_ms": NOW}
    assert msgspec.convert(written, ev.GuestReady) == event
