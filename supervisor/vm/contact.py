"""A QEMU that lives and does not answer: asked again and again, never killed, never called gone."""

from supervisor.vm import effects as fx
from supervisor.vm import events as ev
from supervisor.vm.decision import Decision
from supervisor.vm.observations import TimerKind
from supervisor.vm.spec import MINUTE_MS, SECOND_MS
from supervisor.vm.state import VmState

RETRY_MIN_MS = SECOND_MS
RETRY_MAX_MS = MINUTE_MS
"""A silent QEMU is asked again after as long as it has been silent, within these bounds."""


def lose_contact(state: VmState, detail: str, now_ms: int) -> Decision:
    """Ask again later; only the first silence is worth an event."""
    since = state.silent_since_ms
    wait = RETRY_MIN_MS if since is None else now_ms - since
    retry = now_ms + min(max(wait, RETRY_MIN_MS), RETRY_MAX_MS)
    timer = fx.ArmTimer(state.launch_number, TimerKind.CONTACT, retry)
    lost = ev.ContactLost(state.launch_number, detail)
    return Decision((lost,) if since is None else (), (timer,))


def reattach(state: VmState) -> fx.Reattach:
    """Return the order to find the current launch's process again."""
    launch = state.current
    return fx.Reattach(
        launch=launch.number,
        directory=launch.directory,
        uuid=launch.uuid,
        process=launch.process,
        log_bytes=state.manifest.limits.log_bytes,
        agent=state.manifest.agent,
    )
