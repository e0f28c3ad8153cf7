"""A guest with an agent of its own: waited for until it is ready, and then left alone.

The launch deadline holds until it is ready; its time to live begins there.
"""

from supervisor.vm import effects as fx
from supervisor.vm import events as ev
from supervisor.vm import observations as ob
from supervisor.vm.decision import NOTHING, Decision
from supervisor.vm.guest_agent import ConsoleReady, OwnAgent, PortReady
from supervisor.vm.network_rules import whole_network
from supervisor.vm.observations import TimerKind
from supervisor.vm.state import STARTING, AgentStage, VmState


def latest_ttl_deadline(state: VmState, now_ms: int) -> int:
    """Return when the time to live of a guest that starts now ends, at the latest."""
    limits = state.manifest.limits
    own = isinstance(state.manifest.agent, OwnAgent)
    # Not ready yet, it is ended by the launch deadline, however short its time to live.
    return now_ms + limits.ttl_ms + (limits.launch_deadline_ms if own else 0)


def await_ready(state: VmState) -> tuple[fx.Effect, ...]:
    """Return what waits for a guest that has an agent of its own and is not ready yet."""
    awaited = state.current.agent is AgentStage.ABSENT
    return _waiting(state, fx.LinesSince.LAUNCH) if awaited else ()


def await_ready_again(state: VmState) -> tuple[fx.Effect, ...]:
    """Return what waits for such a guest that was just reset."""
    return _waiting(state, fx.LinesSince.RESET)


def _waiting(state: VmState, since: fx.LinesSince) -> tuple[fx.Effect, ...]:
    agent, launch = state.manifest.agent, state.current
    match agent:
        case OwnAgent(port=int(port), ready=PortReady()):
            return (fx.AwaitPort(launch.number, port, _host_port(state, port)),)
        case OwnAgent(ready=ConsoleReady(line=line)):
            return (fx.AwaitLine(launch.number, launch.directory, line, since),)
    return ()


def _host_port(state: VmState, guest_port: int) -> int:
    forwards = whole_network(state.manifest).forwards
    ports = zip(forwards, state.current.host_ports, strict=True)
    return next(port for forward, port in ports if forward.guest_port == guest_port)


def guest_ready(state: VmState, seen: ob.GuestReady, now_ms: int) -> Decision:
    """Begin the time to live of a guest that is ready; one that was reset gets no more of it."""
    launch = state.current
    awaited = isinstance(state.manifest.agent, OwnAgent) and launch.agent is AgentStage.ABSENT
    if not awaited or state.ending or state.phase in STARTING:
        return NOTHING
    ttl = now_ms + state.manifest.limits.ttl_ms
    deadline = min(ttl, state.deadlines.get(TimerKind.TTL, ttl))
    timer = fx.ArmTimer(seen.launch, TimerKind.TTL, deadline)
    ready = ev.GuestReady(seen.launch, seen.by, deadline)
    if not launch.resets:
        return Decision((ready,), (timer,))
    # The reset that was ordered is over: from now on a reboot is the guest's own again.
    forbid = fx.ExecuteQmp(seen.launch, fx.QmpCommand.FORBID_REBOOT)
    return Decision((ready,), (forbid, timer))
