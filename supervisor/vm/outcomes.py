"""What each outcome means: in a sentence, and for the phase that a VM ends in."""

from supervisor.vm.events import Outcome
from supervisor.vm.guest_agent import Agent, OwnAgent

IN_GOOD_ORDER = frozenset(
    {
        Outcome.COMPLETED,
        Outcome.STOPPED_BY_CLIENT,
        Outcome.KILLED_BY_CLIENT,
        Outcome.TTL_EXPIRED,
    }
)
"""Outcomes that somebody ordered or wished for; all others end in phase FAILED."""

IN_GOOD_ORDER_OF_ITS_OWN = IN_GOOD_ORDER | {Outcome.GUEST_POWERED_OFF}
"""Of a guest with an agent of its own: who says nothing of its work says so that it is done."""

EXPLANATIONS = {
    Outcome.COMPLETED: "the computation finished",
    Outcome.COMPUTATION_FAILED: "the computation failed",
    Outcome.GUEST_PANICKED: "the guest's kernel panicked",
    Outcome.GUEST_POWERED_OFF: "the guest powered off before its computation finished",
    Outcome.GUEST_REBOOTED: "the guest tried to reboot",
    Outcome.GUEST_HUNG: "the guest did not feed its watchdog",
    Outcome.STOPPED_BY_CLIENT: "stopped as ordered",
    Outcome.KILLED_BY_CLIENT: "killed as ordered",
    Outcome.STOPPED_BY_HOST: "somebody on the host ended QEMU",
    Outcome.TTL_EXPIRED: "its time to live was over",
    Outcome.LAUNCH_DEADLINE: "the algorithm had not started by the launch deadline",
    Outcome.AGENT_BROKE_PROTOCOL: "the guest's agent broke the protocol",
    Outcome.RESULT_REFUSED: "the result could not be taken",
    Outcome.HOST_DISK_FAILED: "the host's disk failed, and QEMU froze the guest",
    Outcome.QEMU_CRASHED: "QEMU crashed",
    Outcome.QEMU_FAILED_TO_START: "QEMU failed to start",
    Outcome.LOST_BY_REBOOT: "the host rebooted",
    Outcome.ATTESTATION_FAILED: "what was launched is not what was ordered",
    Outcome.LAUNCH_REJECTED: "its owner rejected the launch",
    Outcome.VERIFICATION_DEADLINE: "its owner had not decided about the launch by the deadline",
    Outcome.INPUTS_DEADLINE: "not every input had come by the deadline",
    Outcome.SESSION_DEADLINE: "no session for its next launch had come by the deadline",
    Outcome.LAUNCH_BYPASSED: "the guest ran although nobody had approved the launch",
}

OF_ITS_OWN = {
    Outcome.GUEST_POWERED_OFF: "the guest powered off",
    Outcome.LAUNCH_DEADLINE: "the guest was not ready by the launch deadline",
}
"""Where the agent is the guest's own, and another sentence than for the reference agent is true."""


def ends_in_good_order(outcome: Outcome, agent: Agent) -> bool:
    """Return whether a VM with this agent ends in phase STOPPED rather than FAILED."""
    return outcome in (IN_GOOD_ORDER_OF_ITS_OWN if isinstance(agent, OwnAgent) else IN_GOOD_ORDER)


def explanation(outcome: Outcome, agent: Agent) -> str:
    """Return a sentence on the outcome of a VM with this agent."""
    own = OF_ITS_OWN.get(outcome) if isinstance(agent, OwnAgent) else None
    return own or EXPLANATIONS[outcome]
