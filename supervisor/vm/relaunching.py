"""The restart policy: from the end of one launch to the beginning of the next.

Which ends are followed is the policy's; that a client's word is the last one is everybody's.
"""

from supervisor.vm.events import Outcome
from supervisor.vm.guest_agent import Agent
from supervisor.vm.outcomes import ends_in_good_order
from supervisor.vm.spec import RestartOn, RestartPolicy

ORDERED = frozenset({Outcome.STOPPED_BY_CLIENT, Outcome.KILLED_BY_CLIENT, Outcome.TTL_EXPIRED})
"""Ends that a client, or the deadline that it set, ordered."""

LAST_WORDS = ORDERED | {Outcome.LAUNCH_REJECTED, Outcome.SESSION_DEADLINE, Outcome.INPUTS_DEADLINE}
"""Ends that no launch follows, whatever the policy says: an owner's no, and nobody there to ask."""


def may_be_followed(policy: RestartPolicy, outcome: Outcome) -> bool:
    """Return whether another launch may follow on one that is to end like this.

    What the results disk holds may still make a failure of a success, or the reverse.
    """
    return policy.policy is not RestartOn.NEVER and outcome not in LAST_WORDS


def is_followed(policy: RestartPolicy, outcome: Outcome, agent: Agent) -> bool:
    """Return whether the policy has another launch follow on one that ended like this."""
    match policy.policy:
        case RestartOn.NEVER:
            return False
        case RestartOn.FAILURE:
            return outcome not in LAST_WORDS and not ends_in_good_order(outcome, agent)
        case RestartOn.ALWAYS:
            return outcome not in LAST_WORDS


def backoff_ms(policy: RestartPolicy, restart: int) -> int:
    """Return how long the ``restart``-th launch of a period is waited for, from 1."""
    # A wait that has reached its bound is not doubled further, or the number would have no end.
    doublings = min(restart - 1, policy.backoff_max_ms.bit_length())
    return min(policy.backoff_ms << doublings, policy.backoff_max_ms)
