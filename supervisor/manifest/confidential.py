"""The `[confidential]` table -> what the core demands; the owner's files are read here."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from supervisor.manifest.files import Unfit, read_small
from supervisor.manifest.schema import ConfidentialKind, ConfidentialSection
from supervisor.sev.errors import Malformed
from supervisor.sev.octets import exactly, from_base64, to_base64
from supervisor.vm.commands import FieldViolation
from supervisor.vm.confidential import Confidential, GuestSession, Sev, SevEs, Snp, VmsaVariant
from supervisor.vm.confidential_rules import (
    CERTIFICATE_BYTES,
    ID_AUTH_BYTES_MAX,
    ID_BLOCK_BYTES,
    SESSION_BYTES,
)

BLOB_FILE = "session.b64"
CERTIFICATE_FILE = "godh.b64"
"""What `chronovisor sev session` leaves in its directory for the host."""

FOR_OWNERS = ("session", "verification", "deadline")
FOR_SNP = ("id_block", "id_auth")
_DEFAULTS = ConfidentialSection(ConfidentialKind.SEV)

Refuse = Callable[[FieldViolation], object]


def read_confidential(
    section: ConfidentialSection | None, directory: Path, refuse: Refuse
) -> Confidential | None:
    """Return what a manifest demands; what is wrong with its files goes to ``refuse``."""
    if section is None:
        return None
    for name in _out_of_place(section):
        told = f"does not go with kind {section.kind.value!r}"
        refuse(FieldViolation(f"confidential.{name}", told))
    if section.kind is ConfidentialKind.SNP:
        return _snp(section, directory, refuse)
    return _sev(section, directory, refuse)


def _out_of_place(section: ConfidentialSection) -> list[str]:
    snp, es = section.kind is ConfidentialKind.SNP, section.kind is ConfidentialKind.SEV_ES
    names = [*(FOR_OWNERS if snp else FOR_SNP), *(() if es else ("vmsa_variant",))]
    return [name for name in names if getattr(section, name) != getattr(_DEFAULTS, name)]


def _sev(section: ConfidentialSection, directory: Path, refuse: Refuse) -> Sev:
    if section.policy is None:
        told = 'missing; it takes a number, or flags such as "nodbg,noks"'
        refuse(FieldViolation("confidential.policy", told))
    plain = Sev(
        policy=int(section.policy or 0),
        session=_session(section.session, directory, refuse),
        verification=section.verification,
        expected_digest=section.expected_digest,
        deadline_ms=int(section.deadline),
    )
    if section.kind is ConfidentialKind.SEV:
        return plain
    variant = section.vmsa_variant or VmsaVariant.LEGACY
    return SevEs(**msgspec.structs.asdict(plain), vmsa_variant=variant)


def _session(given: str | None, directory: Path, refuse: Refuse) -> GuestSession | None:
    if given is None:
        return None
    place, field = directory / given, "confidential.session"
    certificate = _base64(place / CERTIFICATE_FILE, CERTIFICATE_BYTES, field, refuse)
    blob = _base64(place / BLOB_FILE, SESSION_BYTES, field, refuse)
    return GuestSession(to_base64(certificate), to_base64(blob))


def _snp(section: ConfidentialSection, directory: Path, refuse: Refuse) -> Snp:
    block = auth = b""
    if section.id_block is not None:
        file = directory / section.id_block
        block = _base64(file, ID_BLOCK_BYTES, "confidential.id_block", refuse)
    if section.id_auth is not None:
        file = directory / section.id_auth
        auth = _base64(file, None, "confidential.id_auth", refuse)
    return Snp(
        policy=Snp().policy if section.policy is None else int(section.policy),
        id_block=to_base64(block),
        id_auth=to_base64(auth),
        expected_digest=section.expected_digest,
    )


def _base64(file: Path, size: int | None, field: str, refuse: Refuse) -> bytes:
    """Return what a text file stands for, in exactly ``size`` bytes where that is given."""
    try:
        data = from_base64(read_small(file, 2 * ID_AUTH_BYTES_MAX), f"{file}")
        return data if size is None else exactly(data, size, f"{file}")
    except (Malformed, Unfit) as why:
        refuse(FieldViolation(field, str(why)))
    return b""
