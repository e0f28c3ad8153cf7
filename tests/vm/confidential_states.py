"""One state for each place in the life of a VM whose owner verifies it."""

import base64
import hashlib

import msgspec

from supervisor.vm import observations as ob
from supervisor.vm.commands import Command, InjectSecret, RejectLaunch
from supervisor.vm.confidential import (
    GuestSession,
    Sev,
    SevClaims,
    SevEvidence,
    SevPlatform,
    Verification,
)
from supervisor.vm.observations import Observation
from supervisor.vm.spec import ByName, VmShape
from supervisor.vm.state import VmState
from tests.vm.states import (
    AGENT_READY,
    AGENT_STARTED,
    CRASH,
    DIRECTORY,
    ELAPSED,
    IMAGES,
    QMP_READY,
    RESTARTED,
    RESUMED,
    SHA256,
    SPAWNED,
    after,
    defined,
)

POLICY = 0x1700_0001
"""NODBG, and API 0.23 at least."""


def in_base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def session(number: int) -> GuestSession:
    """A session of its own for each number; only its sizes are right."""
    return GuestSession(in_base64(bytes(2084)), in_base64(number.to_bytes(128, "big")))


FIRST, SECOND, THIRD = session(1), session(2), session(3)
SEV = Sev(POLICY, FIRST, deadline_ms=50_000)
SEALED = msgspec.structs.replace(RESTARTED, vm=VmShape(firmware=ByName("amdsev")), confidential=SEV)
TRUSTED = msgspec.structs.replace(
    SEALED,
    confidential=Sev(POLICY, verification=Verification.TRUSTED_HOST, expected_digest=SHA256),
)
PLATFORM = SevPlatform(cbitpos=51, reduced_phys_bits=1)
CLAIMS = SevClaims(SHA256, SHA256, SHA256, SHA256, vcpus=1, digest=SHA256, secret_room=256)
MEASUREMENT = in_base64(bytes(range(48)))
EVIDENCE_OF_LAUNCH = SevEvidence(MEASUREMENT, 0, 23, 10, POLICY)
HEADER, SECRET = bytes(52), b"a wrapped secret"
PACKET = hashlib.sha256(HEADER + SECRET).hexdigest()

SEALED_PREPARED = ob.LaunchPrepared(1, DIRECTORY, IMAGES, "kvm", platform=PLATFORM, claims=CLAIMS)
MEASURED = ob.LaunchMeasured(1, EVIDENCE_OF_LAUNCH)
INJECT = InjectSecret(1, MEASUREMENT, HEADER, SECRET)
INJECTED = ob.SecretInjected(1, PACKET)

TO_AWAITING = (SEALED_PREPARED, SPAWNED, QMP_READY, MEASURED)
TO_SHIELDED = (*TO_AWAITING, INJECT, INJECTED, RESUMED)
TO_RESTING = (*TO_SHIELDED, AGENT_READY, AGENT_STARTED, ob.ProcessExited(1, CRASH))

CONFIDENTIAL_STORIES: dict[str, tuple[Command | Observation, ...]] = {
    "sealed": (),
    "starting": (SEALED_PREPARED,),
    "measuring": (SEALED_PREPARED, SPAWNED, QMP_READY),
    "awaiting": TO_AWAITING,
    "accepted": (*TO_AWAITING, INJECT),
    "approved": (*TO_AWAITING, INJECT, INJECTED),
    "shielded": TO_SHIELDED,
    "rejected": (*TO_AWAITING, RejectLaunch(1)),
    "resting": TO_RESTING,
    "owing": (*TO_RESTING, ELAPSED),
}
"""sealed     nothing is prepared yet           approved  its secret arrived, CPUs do not run
starting   intended, no process yet          shielded  its CPUs run
measuring  QMP answers, not measured yet     rejected  its owner said no
awaiting   measured, nobody has decided      resting   it crashed, and waits to be launched again
accepted   a secret is durable, not given    owing     the wait is over, and it has no session
"""

CONFIDENTIAL: dict[str, VmState] = {
    name: after(defined(SEALED), *story) for name, story in CONFIDENTIAL_STORIES.items()
}
