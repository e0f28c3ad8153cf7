"""Confidential guests <-> Protocol Buffers: what a manifest demands, and how far a launch has come.

Certificates, blobs and measurements are bytes on the wire and base64 text in the core, which hands
them to QEMU as such.
"""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import betterproto2
import msgspec
from chronovisor_api import v1

from supervisor.api.ports import Report, SevPlatform, Unavailable
from supervisor.vm import confidential as core
from supervisor.vm.commands import FieldViolation
from supervisor.vm.observations import TimerKind
from supervisor.vm.state import AttestationStage, Launch, Phase, VmState

E = TypeVar("E", bound=v1.Verification | v1.VmsaVariant)
T = TypeVar("T")
Faults = list[FieldViolation]

VERIFICATIONS: dict[v1.Verification, core.Verification] = {
    v1.Verification.UNSPECIFIED: core.Verification.OWNER,
    v1.Verification.OWNER: core.Verification.OWNER,
    v1.Verification.TRUSTED_HOST: core.Verification.TRUSTED_HOST,
}
VMSA_VARIANTS: dict[v1.VmsaVariant, core.VmsaVariant] = {
    v1.VmsaVariant.UNSPECIFIED: core.VmsaVariant.LEGACY,
    v1.VmsaVariant.LEGACY: core.VmsaVariant.LEGACY,
    v1.VmsaVariant.INIT2: core.VmsaVariant.INIT2,
}
KINDS: dict[type[core.Confidential], str] = {
    core.Sev: "sev",
    core.SevEs: "sev_es",
    core.Snp: "snp",
}
"""Under which member of the wire's oneof each technology stands."""

_EPOCH = datetime.fromtimestamp(0, UTC)


def to_confidential(message: v1.Confidential | None, faults: Faults) -> core.Confidential | None:
    """Return what a client demands; what the core would not see is added to ``faults``."""
    if message is None:
        return None
    match betterproto2.which_one_of(message, "kind"):
        case _, v1.SevEs() as given:
            at = "confidential.sev_es"
            variant = _member(f"{at}.vmsa_variant", VMSA_VARIANTS, given.vmsa_variant, faults)
            plain = _sev(at, given, faults)
            return core.SevEs(**msgspec.structs.asdict(plain), vmsa_variant=variant)
        case _, v1.Sev() as given:
            return _sev("confidential.sev", given, faults)
        case _, v1.Snp() as given:
            return _snp(given)
    faults.append(FieldViolation("confidential", "names no technology: set sev, sev_es or snp"))
    return None


def _sev(at: str, given: v1.Sev | v1.SevEs, faults: Faults) -> core.Sev:
    verification = _member(f"{at}.verification", VERIFICATIONS, given.verification, faults)
    plain = core.Sev(
        policy=given.policy,
        session=None if given.session is None else to_session(given.session),
        kernel_hashes=given.kernel_hashes is not False,
        verification=verification,
        expected_digest=given.expected_digest,
    )
    if given.deadline_ms is None:
        return plain
    return msgspec.structs.replace(plain, deadline_ms=given.deadline_ms)


def _snp(given: v1.Snp) -> core.Snp:
    plain = core.Snp(
        id_block=_text(given.id_block),
        id_auth=_text(given.id_auth),
        kernel_hashes=given.kernel_hashes is not False,
        expected_digest=given.expected_digest,
    )
    return plain if given.policy is None else msgspec.structs.replace(plain, policy=given.policy)


def to_session(message: v1.GuestSession) -> core.GuestSession:
    """Return an owner's session as QEMU's files hold it; its sizes are for the core to check."""
    return core.GuestSession(_text(message.godh_cert), _text(message.session_blob))


def _member(field: str, members: Mapping[E, T], got: E, faults: Faults) -> T:
    if got in members:
        return members[got]
    takes = ", ".join(str(member.proto_name) for member in members if member)
    faults.append(FieldViolation(field, f"got {int(got)}; it takes {takes}"))
    return next(iter(members.values()))


def on_the_wire(field: str, confidential: core.Confidential | None) -> str:
    """Return the path in the message of a field that the core names."""
    rest = field.removeprefix("confidential.")
    if confidential is None or rest == field:
        return field
    kind = KINDS[type(confidential)]
    return field if rest.startswith(f"{kind}.") else f"confidential.{kind}.{rest}"


def from_confidential(confidential: core.Confidential | None) -> v1.Confidential | None:
    """Return what a manifest demands, with every default written out."""
    match confidential:
        case core.SevEs():
            variant = v1.VmsaVariant[confidential.vmsa_variant.name]
            return v1.Confidential(sev_es=v1.SevEs(**_demands(confidential), vmsa_variant=variant))
        case core.Sev():
            return v1.Confidential(sev=v1.Sev(**_demands(confidential)))
        case core.Snp():
            return v1.Confidential(snp=_from_snp(confidential))
    return None


def _demands(sev: core.Sev) -> dict[str, Any]:
    return {
        "policy": sev.policy,
        "session": None if sev.session is None else _from_session(sev.session),
        "kernel_hashes": sev.kernel_hashes,
        "verification": v1.Verification[sev.verification.name],
        "expected_digest": sev.expected_digest,
        "deadline_ms": sev.deadline_ms,
    }


def _from_session(session: core.GuestSession) -> v1.GuestSession:
    return v1.GuestSession(
        godh_cert=_bytes(session.godh_cert), session_blob=_bytes(session.session_blob)
    )


def _from_snp(snp: core.Snp) -> v1.Snp:
    return v1.Snp(
        policy=snp.policy,
        id_block=_bytes(snp.id_block),
        id_auth=_bytes(snp.id_auth),
        kernel_hashes=snp.kernel_hashes,
        expected_digest=snp.expected_digest,
    )


def from_launch(state: VmState) -> v1.LaunchState | None:
    """Return how far the verification of a VM's launch has come; None where there is none."""
    if state.manifest.confidential is None:
        return None
    launch = None if state.phase in _BEFORE_A_LAUNCH else state.launch
    session = state.session if launch is None else launch.session
    return v1.LaunchState(
        stage=_stage(launch),
        evidence=None if launch is None else _evidence(launch.evidence),
        claims=None if launch is None else _claims(launch.claims),
        deadline=_deadline(state),
        packet_sha256="" if launch is None else launch.packet_sha256,
        session_sha256="" if session is None else session.sha256,
    )


_BEFORE_A_LAUNCH = frozenset(
    {Phase.DEFINED, Phase.QUEUED, Phase.AWAITING_SESSION, Phase.AWAITING_INPUTS}
)


def _stage(launch: Launch | None) -> v1.AttestationStage:
    if launch is None or launch.stage is AttestationStage.NONE:
        return v1.AttestationStage.UNSPECIFIED
    return v1.AttestationStage[launch.stage.name]


def _deadline(state: VmState) -> datetime | None:
    kinds = (TimerKind.VERIFICATION, TimerKind.SESSION)
    at_ms = next((state.deadlines[kind] for kind in kinds if kind in state.deadlines), None)
    return None if at_ms is None else _EPOCH + timedelta(milliseconds=at_ms)


def _evidence(evidence: core.Evidence | None) -> v1.Evidence | None:
    match evidence:
        case core.SevEvidence():
            return v1.Evidence(
                sev=v1.SevEvidence(
                    measurement=_bytes(evidence.measurement),
                    api_major=evidence.api_major,
                    api_minor=evidence.api_minor,
                    build=evidence.build,
                    policy=evidence.policy,
                )
            )
        case core.SnpEvidence():
            snp = v1.SnpEvidence(policy=evidence.policy, host_data=evidence.host_data)
            return v1.Evidence(snp=snp)
    return None


def _claims(claims: core.SevClaims | None) -> v1.LaunchClaims | None:
    if claims is None:
        return None
    variant = claims.vmsa_variant.upper() or "UNSPECIFIED"
    return v1.LaunchClaims(
        firmware_sha256=claims.firmware,
        kernel_sha256=claims.kernel,
        initrd_sha256=claims.initrd,
        command_line_sha256=claims.command_line,
        vcpus=claims.vcpus,
        vmsa_variant=v1.VmsaVariant[variant],
        digest=claims.digest,
        secret_room=claims.secret_room,
    )


def from_platform(found: SevPlatform | Unavailable) -> v1.GetPlatformResponse:
    """Return what the host says of its secure processor."""
    if isinstance(found, Unavailable):
        return v1.GetPlatformResponse(unavailable=v1.Unavailable(reason=found.why))
    return v1.GetPlatformResponse(
        sev=v1.SevPlatform(
            pdh=_bytes(found.pdh),
            cert_chain=_bytes(found.cert_chain),
            cpu0_id=_bytes(found.cpu0_id),
            cbitpos=found.cbitpos,
            reduced_phys_bits=found.reduced_phys_bits,
        )
    )


def from_report(answer: Report) -> v1.GetAttestationReportResponse:
    """Return a report, or why there is none."""
    if answer.refused:
        refused = v1.Unavailable(reason=answer.refused)
        return v1.GetAttestationReportResponse(launch=answer.launch, unavailable=refused)
    return v1.GetAttestationReportResponse(launch=answer.launch, report=answer.report)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
