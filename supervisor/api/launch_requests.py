"""What an owner asks of a confidential launch: sizes are checked here, and the field is named.

Sources of the sizes: SEV API specification, section 6.5 (measurement), 6.6 (secret), 6.2 (session)
and 6.8 (attestation report); SEV-SNP firmware ABI, section 7.3 (report data).
"""

import base64

from chronovisor_api import v1

from supervisor.api.refusals import refuse
from supervisor.api.wire_confidential import to_session
from supervisor.vm.commands import ApproveLaunch, FieldViolation, InjectSecret, RejectLaunch
from supervisor.vm.confidential import Confidential, GuestSession, Snp
from supervisor.vm.confidential_rules import (
    CERTIFICATE_BYTES,
    HEADER_BYTES,
    MEASUREMENT_BYTES,
    REASON_CHARACTERS,
    SECRET_BYTES_MAX,
    SESSION_BYTES,
)
from supervisor.vm.rules import check_idempotency_key

SEV_NONCE_BYTES = 16
SNP_NONCE_BYTES_MAX = 64


def session_of(request: v1.ProvideSessionRequest) -> GuestSession:
    """Return the session that an owner gives. Raises CommandDenied."""
    given = request.session
    if given is None:
        refuse((FieldViolation("session", "is missing"),))
    session = given or v1.GuestSession()
    refuse(
        (
            *_sized("session.godh_cert", session.godh_cert, CERTIFICATE_BYTES),
            *_sized("session.session_blob", session.session_blob, SESSION_BYTES),
        )
    )
    return to_session(session)


def secret_of(request: v1.InjectLaunchSecretRequest) -> InjectSecret:
    """Return the packet that an owner hands to a launch. Raises CommandDenied."""
    key = request.idempotency_key
    refuse(
        (
            *_launch(request.launch),
            *_sized("measurement", request.measurement, MEASUREMENT_BYTES),
            *_sized("packet_header", request.packet_header, HEADER_BYTES),
            *_sized("secret", request.secret, 1, SECRET_BYTES_MAX),
            *(check_idempotency_key(key) if key else ()),
        )
    )
    measurement = _text(request.measurement)
    return InjectSecret(request.launch, measurement, request.packet_header, request.secret)


def approval_of(request: v1.ApproveLaunchRequest) -> ApproveLaunch:
    """Return an owner's consent. Raises CommandDenied."""
    measured = _sized("measurement", request.measurement, MEASUREMENT_BYTES)
    refuse((*_launch(request.launch), *measured))
    return ApproveLaunch(request.launch, _text(request.measurement))


def rejection_of(request: v1.RejectLaunchRequest) -> RejectLaunch:
    """Return an owner's refusal. Raises CommandDenied."""
    reason = request.reason
    takes = f"it takes at most {REASON_CHARACTERS} printable characters"
    wrong = len(reason) > REASON_CHARACTERS or not reason.isprintable()
    refuse((*_launch(request.launch), *((FieldViolation("reason", takes),) if wrong else ())))
    return RejectLaunch(request.launch, reason)


def check_nonce(nonce: bytes, confidential: Confidential | None) -> None:
    """Raise CommandDenied for a nonce that the guest's technology cannot take."""
    most = SNP_NONCE_BYTES_MAX if isinstance(confidential, Snp) else SEV_NONCE_BYTES
    refuse(_sized("nonce", nonce, SEV_NONCE_BYTES, most))


def _launch(number: int) -> tuple[FieldViolation, ...]:
    return () if number else (FieldViolation("launch", "is missing; launches count from 1"),)


def _sized(
    field: str, data: bytes, least: int, most: int | None = None
) -> tuple[FieldViolation, ...]:
    most = least if most is None else most
    if least <= len(data) <= most:
        return ()
    takes = f"{least}" if least == most else f"{least} to {most}"
    return (FieldViolation(field, f"got {len(data)} bytes; it takes {takes}"),)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
