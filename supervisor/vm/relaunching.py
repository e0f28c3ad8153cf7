"""The restart policy: from the end of one launch to the beginning of the next.

Which ends are followed is the policy's; that a client's word is the last one is everybody's.
"""

from supervisor.vm.events import Outcome
from supervisor.vm.outcomes import IN_GOOD_ORDER
from supervisor.vm.spec import RestartOn, RestartPolicy


def is_followed(policy: RestartPolicy, outcome: Outcome) -> bool:
    """Return whether the policy has another launch follow on one that ended like this."""
    failed = outcome not in IN_GOOD_ORDER
    match policy.policy:
        case RestartOn.NEVER:
            return False
        case RestartOn.FAILURE:
            return failed
        case RestartOn.ALWAYS:
            return failed or outcome is Outcome.COMPLETED


def backoff_ms(policy: RestartPolicy, restart: int) -> int:
    """Return how long the ``restart``-th launch of a period is waited for, from 1."""
    # A wait that has reached its bound is not doubled further, or the number would have no end.
    doublings = min(restart - 1, policy.backoff_max_ms.bit_length())
    return min(policy.backoff_ms << doublings, policy.backoff_max_ms)
