"""What a verifier of a confidential launch has to expect: its facts, as one JSON object."""

import msgspec

from supervisor.vm.confidential import Confidential, Evidence, SevClaims
from supervisor.vm.state import Launch


class AttestationPolicy(msgspec.Struct, frozen=True, omit_defaults=True):
    """The host's own word; ``evidence`` alone comes from the secure processor.

    ``expected_digest`` is the owner's: SHA-256 or SHA-384 in hexadecimal.
    """

    kind: str
    policy: int
    launch: int
    expected_digest: str = ""
    claims: SevClaims | None = None
    evidence: Evidence | None = None


def policy_of(asked: Confidential, launch: Launch) -> AttestationPolicy:
    """Return the facts of a launch that was measured."""
    return AttestationPolicy(
        kind=str(asked.__struct_config__.tag),
        policy=asked.policy,
        launch=launch.number,
        expected_digest=asked.expected_digest,
        claims=launch.claims,
        evidence=launch.evidence,
    )
