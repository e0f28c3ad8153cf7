"""From the exit of QEMU to the VM's last event: the result, the outcome and its explanation.

The result is read only now: while QEMU ran, the guest could still have changed it.
"""

from supervisor.vm import effects as fx
from supervisor.vm import events as ev
from supervisor.vm import observations as ob
from supervisor.vm.decision import NOTHING, Decision
from supervisor.vm.state import AgentStage, Phase, VmState

IN_GOOD_ORDER = frozenset(
    {
        ev.Outcome.COMPLETED,
        ev.Outcome.STOPPED_BY_CLIENT,
        ev.Outcome.KILLED_BY_CLIENT,
        ev.Outcome.TTL_EXPIRED,
    }
)
"""Outcomes that somebody ordered or wished for; all others end in phase FAILED."""

TOLD_BY_RESULT = frozenset({ev.Outcome.COMPLETED, ev.Outcome.GUEST_POWERED_OFF})
"""Where the exit code on the disk decides: the agent's last words were lost, or may be a lie."""

EXPLANATIONS = {
    ev.Outcome.COMPLETED: "the computation finished",
    ev.Outcome.COMPUTATION_FAILED: "the computation failed",
    ev.Outcome.GUEST_PANICKED: "the guest's kernel panicked",
    ev.Outcome.GUEST_POWERED_OFF: "the guest powered off before its computation finished",
    ev.Outcome.GUEST_REBOOTED: "the guest tried to reboot",
    ev.Outcome.STOPPED_BY_CLIENT: "stopped as ordered",
    ev.Outcome.KILLED_BY_CLIENT: "killed as ordered",
    ev.Outcome.STOPPED_BY_HOST: "somebody on the host ended QEMU",
    ev.Outcome.TTL_EXPIRED: "its time to live was over",
    ev.Outcome.LAUNCH_DEADLINE: "the algorithm had not started by the launch deadline",
    ev.Outcome.AGENT_BROKE_PROTOCOL: "the guest's agent broke the protocol",
    ev.Outcome.RESULT_REFUSED: "the result could not be taken",
    ev.Outcome.QEMU_CRASHED: "QEMU crashed",
    ev.Outcome.QEMU_FAILED_TO_START: "QEMU failed to start",
    ev.Outcome.LOST_BY_REBOOT: "the host rebooted",
}


def after_exit(state: VmState, evidence: ob.ExitEvidence) -> Decision:
    """QEMU is gone: fetch the result where there is one, else end the VM."""
    exited = ev.ProcessExited(state.launch_number, evidence)
    if _result_expected(state):
        limit = state.manifest.limits.result_bytes
        directory = state.current.directory
        return Decision((exited,), (fx.CollectResult(state.launch_number, directory, limit),))
    if state.ending:
        outcome = state.ending.outcome
        if outcome is ev.Outcome.COMPLETED and state.current.disk_failure:
            outcome = ev.Outcome.RESULT_REFUSED
        return finish(state, outcome, _detail(state, outcome, evidence)).after(exited)
    started = state.phase is not Phase.LAUNCHING
    outcome = ev.Outcome.QEMU_CRASHED if started else ev.Outcome.QEMU_FAILED_TO_START
    return finish(state, outcome, _how_it_exited(evidence)).after(exited)


def after_result(state: VmState, seen: ob.ResultCollected | ob.ResultRefused) -> Decision:
    """The results disk was read: the VM ends."""
    exited = state.phase is Phase.STOPPING and state.current.exit_evidence is not None
    if not exited or state.ending is None:
        return NOTHING  # while QEMU lives, its disk says nothing
    outcome = state.ending.outcome
    if isinstance(seen, ob.ResultCollected):
        recorded = ev.ResultRecorded(seen.launch, seen.sha256, seen.size, seen.exit_code)
        if outcome in TOLD_BY_RESULT:
            outcome = ev.Outcome.COMPUTATION_FAILED if seen.exit_code else ev.Outcome.COMPLETED
        detail = _finished_detail(state, outcome, seen.exit_code)
        return finish(state, outcome, detail).after(recorded)
    refused = ev.ResultRefused(seen.launch, seen.detail)
    if outcome is ev.Outcome.COMPLETED:
        detail = f"{seen.detail}; {state.current.directory} keeps it until the VM is deleted"
        return finish(state, ev.Outcome.RESULT_REFUSED, detail).after(refused)
    return finish(state, outcome, _last_detail(state, outcome)).after(refused)


def finish(state: VmState, outcome: ev.Outcome, detail: str) -> Decision:
    """Write the last event of a launch and let go of what it held."""
    ended = ev.VmStopped if outcome in IN_GOOD_ORDER else ev.VmFailed
    event = ended(state.launch_number, outcome, _with_disk_failure(state, detail))
    return Decision((event,), release(state, outcome))


def _with_disk_failure(state: VmState, detail: str) -> str:
    failure = state.launch.disk_failure if state.launch else ""
    return f"{detail}; the host's disk failed the guest ({failure})" if failure else detail


def release(state: VmState, outcome: ev.Outcome | None) -> tuple[fx.Effect, ...]:
    """Let go of what a launch held; a result that could not be taken stays until it is deleted."""
    if state.launch is None:
        return ()
    finished = state.launch.finished
    if outcome is ev.Outcome.RESULT_REFUSED and finished is not None and finished.length > 0:
        return ()
    return (fx.ReleaseLaunch(state.launch_number, state.launch.directory),)


def _result_expected(state: VmState) -> bool:
    # Where the host lost a write, the guest may not have been told before it said that all is well.
    if state.ending is None or state.current.disk_failure:
        return False
    finished = state.current.finished
    if finished is not None:
        return finished.length > 0
    silent_end = state.ending.outcome is ev.Outcome.GUEST_POWERED_OFF
    return silent_end and state.current.agent is AgentStage.STARTED


def _detail(state: VmState, outcome: ev.Outcome, evidence: ob.ExitEvidence) -> str:
    if outcome is ev.Outcome.QEMU_FAILED_TO_START:
        return _how_it_exited(evidence)
    return _last_detail(state, outcome)


def _last_detail(state: VmState, outcome: ev.Outcome) -> str:
    finished = state.current.finished
    if finished is None:
        return EXPLANATIONS[outcome]
    return _finished_detail(state, outcome, finished.exit_code)


def _finished_detail(state: VmState, outcome: ev.Outcome, exit_code: int) -> str:
    finished = state.current.finished
    if finished is not None and finished.message:
        return finished.message
    return f"{EXPLANATIONS[outcome]} with exit code {exit_code}"


def _how_it_exited(evidence: ob.ExitEvidence) -> str:
    if evidence.signal is not None:
        how = f"QEMU was ended by signal {evidence.signal}"
    elif evidence.exit_code is not None:
        how = f"QEMU exited with status {evidence.exit_code}"
    else:
        how = "QEMU exited while nobody was there to learn how"
    last_words = evidence.stderr.strip().splitlines()
    return f"{how}: {last_words[-1]}" if last_words else how
