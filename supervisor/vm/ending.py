"""From the exit of QEMU to a launch's last event: the result, the outcome and its explanation.

The result is read only now: while QEMU ran, the guest could still have changed it. Whether another
launch follows is asked in one place, :func:`finish`.
"""

from supervisor.vm import effects as fx
from supervisor.vm import events as ev
from supervisor.vm import observations as ob
from supervisor.vm.decision import NOTHING, Decision
from supervisor.vm.guest_agent import OwnAgent
from supervisor.vm.outcomes import ends_in_good_order, explanation
from supervisor.vm.relaunching import backoff_ms, is_followed
from supervisor.vm.restart import add_restart
from supervisor.vm.spec import SECOND_MS
from supervisor.vm.start_failures import explain
from supervisor.vm.state import ALIVE, AgentStage, Desired, Phase, VmState

TOLD_BY_RESULT = frozenset({ev.Outcome.COMPLETED, ev.Outcome.GUEST_POWERED_OFF})
"""Where the exit code on the disk decides: the agent's last words were lost, or may be a lie."""


def after_exit(state: VmState, evidence: ob.ExitEvidence, now_ms: int) -> Decision:
    """QEMU is gone: fetch the result where there is one, else end the launch."""
    exited = ev.ProcessExited(state.launch_number, evidence)
    if _result_expected(state):
        limit = state.manifest.limits.result_bytes
        directory = state.current.directory
        return Decision((exited,), (fx.CollectResult(state.launch_number, directory, limit),))
    if state.ending:
        outcome = state.ending.outcome
        if outcome is ev.Outcome.COMPLETED and state.current.disk_failure:
            outcome = ev.Outcome.RESULT_REFUSED
        return finish(state, outcome, _detail(state, outcome, evidence), now_ms).after(exited)
    started = state.phase is not Phase.LAUNCHING
    outcome = ev.Outcome.QEMU_CRASHED if started else ev.Outcome.QEMU_FAILED_TO_START
    return finish(state, outcome, explain(evidence), now_ms).after(exited)


def after_result(
    state: VmState, seen: ob.ResultCollected | ob.ResultRefused, now_ms: int
) -> Decision:
    """The results disk was read: the launch ends."""
    exited = state.phase is Phase.STOPPING and state.current.exit_evidence is not None
    if not exited or state.ending is None:
        return NOTHING  # while QEMU lives, its disk says nothing
    outcome = state.ending.outcome
    if isinstance(seen, ob.ResultCollected):
        recorded = ev.ResultRecorded(seen.launch, seen.sha256, seen.size, seen.exit_code)
        if outcome in TOLD_BY_RESULT:
            outcome = ev.Outcome.COMPUTATION_FAILED if seen.exit_code else ev.Outcome.COMPLETED
        detail = _finished_detail(state, outcome, seen.exit_code)
        return finish(state, outcome, detail, now_ms).after(recorded)
    if outcome is ev.Outcome.GUEST_POWERED_OFF and isinstance(state.manifest.agent, OwnAgent):
        # Nobody promised a result; that there is none is no refusal.
        detail = f"{_explanation(state, outcome)}; no result: {seen.detail}"
        return finish(state, outcome, detail, now_ms)
    refused = ev.ResultRefused(seen.launch, seen.detail)
    if outcome is ev.Outcome.COMPLETED:
        return finish(state, ev.Outcome.RESULT_REFUSED, seen.detail, now_ms).after(refused)
    return finish(state, outcome, _last_detail(state, outcome), now_ms).after(refused)


def finish(state: VmState, outcome: ev.Outcome, detail: str, now_ms: int) -> Decision:
    """Write the last event of a launch and let go of what it held; another launch may follow."""
    policy = state.manifest.restart
    told = _with_disk_failure(state, detail)
    ordered = state.desired in (Desired.ENDED, Desired.DELETED)
    if ordered or not is_followed(policy, outcome, state.manifest.agent):
        return _end(state, outcome, told)
    restarts = add_restart(state.restarts_ms, now_ms, policy.max_restarts, policy.period_ms)
    if restarts is None:
        most = f"{policy.max_restarts} restarts in {policy.period_ms // SECOND_MS} s"
        return _end(state, outcome, f"{told}; not launched again after {most}")
    number = _ending_launch(state)
    deadline = now_ms + backoff_ms(policy, len(restarts))
    ended = ev.LaunchEnded(number, outcome, told, len(restarts), deadline)
    timer = fx.ArmTimer(number + 1, ob.TimerKind.BACKOFF, deadline)
    return Decision((ended,), (*release(state), timer))


def _end(state: VmState, outcome: ev.Outcome, detail: str) -> Decision:
    good = ends_in_good_order(outcome, state.manifest.agent)
    ended = ev.VmStopped if good else ev.VmFailed
    if _keeps_result(state, outcome):
        where = f"{state.current.directory} keeps the disk until it is started again or deleted"
        return Decision((ended(state.launch_number, outcome, f"{detail}; {where}"),))
    return Decision((ended(_ending_launch(state), outcome, detail),), release(state))


def _ending_launch(state: VmState) -> int:
    return state.launch_number if state.phase in ALIVE else state.next_launch


def _with_disk_failure(state: VmState, detail: str) -> str:
    failure = state.current.disk_failure if state.phase in ALIVE else ""
    return f"{detail}; the host's disk failed the guest ({failure})" if failure else detail


def release(state: VmState) -> tuple[fx.Effect, ...]:
    """Let go of what the current launch holds, or of what is left of it."""
    if state.launch is None or _keeps_result(state, state.outcome):
        return ()
    return (fx.ReleaseLaunch(state.launch_number, state.launch.directory),)


def _keeps_result(state: VmState, outcome: ev.Outcome | None) -> bool:
    # A result that could not be taken is not thrown away: whoever ordered it may fetch the disk.
    finished = state.launch.finished if state.launch else None
    return outcome is ev.Outcome.RESULT_REFUSED and finished is not None and finished.length > 0


def _result_expected(state: VmState) -> bool:
    # Where the host lost a write, the guest may not have been told before it said that all is well.
    if state.ending is None or state.current.disk_failure:
        return False
    finished = state.current.finished
    if finished is not None:
        return finished.length > 0
    silent_end = state.ending.outcome is ev.Outcome.GUEST_POWERED_OFF
    own = isinstance(state.manifest.agent, OwnAgent)
    return silent_end and (own or state.current.agent is AgentStage.STARTED)


def _detail(state: VmState, outcome: ev.Outcome, evidence: ob.ExitEvidence) -> str:
    if state.ending and state.ending.detail:
        return f"{_explanation(state, outcome)}: {state.ending.detail}"
    if outcome is ev.Outcome.QEMU_FAILED_TO_START:
        return explain(evidence)
    return _last_detail(state, outcome)


def _last_detail(state: VmState, outcome: ev.Outcome) -> str:
    finished = state.current.finished
    if finished is None:
        return _explanation(state, outcome)
    return _finished_detail(state, outcome, finished.exit_code)


def _finished_detail(state: VmState, outcome: ev.Outcome, exit_code: int) -> str:
    finished = state.current.finished
    if finished is not None and finished.message:
        return finished.message
    return f"{_explanation(state, outcome)}, with exit code {exit_code}"


def _explanation(state: VmState, outcome: ev.Outcome) -> str:
    return explanation(outcome, state.manifest.agent)
