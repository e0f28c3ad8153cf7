"""Whether what the host prepared can be the confidential launch that was ordered.

The host's claims prove nothing to the owner; that they already differ is told before QEMU starts.
"""

import msgspec

from supervisor.vm.confidential import Confidential, GuestSession, Sev
from supervisor.vm.events import Outcome
from supervisor.vm.observations import LaunchPrepared


class Unfit(msgspec.Struct, frozen=True):
    """Why a prepared launch is not begun, and the outcome that it has instead."""

    outcome: Outcome
    detail: str


def why_unfit(
    wanted: Confidential | None, prepared: LaunchPrepared, session: GuestSession | None
) -> Unfit | None:
    """Return why ``prepared`` cannot be launched as ``wanted``; None where it can."""
    if wanted is None:
        return None
    claims = prepared.claims
    if prepared.platform is None or claims is None:
        told = "the host does not say what it would launch, and on which processor"
        return Unfit(Outcome.QEMU_FAILED_TO_START, told)
    if isinstance(wanted, Sev) and session is None:
        return Unfit(Outcome.QEMU_FAILED_TO_START, "there is no session for this launch")
    if wanted.expected_digest not in ("", claims.digest):
        told = f"the host would launch {claims.digest or 'something unknown'}"
        detail = f"{told}, and {wanted.expected_digest} was ordered"
        return Unfit(Outcome.ATTESTATION_FAILED, detail)
    return None
