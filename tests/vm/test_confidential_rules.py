"""What a manifest may ask of the processor: each gap is named under its field."""

import msgspec
import pytest

from supervisor.vm.confidential import Confidential, Sev, SevEs, Snp, Verification
from supervisor.vm.rules import check
from supervisor.vm.spec import ByName, Machine, Manifest, Recipient, VmShape
from tests.vm.confidential_states import FIRST, POLICY, SEALED, SEV, in_base64
from tests.vm.states import MANIFEST, SHA256

HOST = Verification.TRUSTED_HOST
FIRMWARE = ByName("amdsev")


def wanting(confidential: Confidential) -> Manifest:
    return msgspec.structs.replace(SEALED, confidential=confidential)


@pytest.mark.parametrize(
    "confidential",
    [
        SEV,
        Sev(POLICY, verification=HOST, expected_digest=SHA256),
        SevEs(POLICY | 4, FIRST, expected_digest=SHA256, deadline_ms=1000),
        Snp(),
        Snp(id_block=in_base64(bytes(96)), id_auth=in_base64(bytes(4096))),
    ],
)
def test_what_can_be_launched_is_taken(confidential: Confidential) -> None:
    assert check(wanting(confidential)) == ()


@pytest.mark.parametrize(
    ("confidential", "field", "why"),
    [
        (Sev(POLICY, FIRST, kernel_hashes=False), "kernel_hashes", "an unmeasured kernel"),
        (Snp(kernel_hashes=False), "kernel_hashes", "an unmeasured kernel"),
        (Sev(POLICY | 4, FIRST), "policy", "kind 'sev-es'"),
        (SevEs(POLICY, FIRST), "policy", "kind 'sev'"),
        (Sev(POLICY | 0x40, FIRST), "policy", "reserved bits 0x40"),
        (Sev(1 << 32, FIRST), "policy", "32 bits"),
        (Sev(-1, FIRST), "policy", "32 bits"),
        (Snp(0x10000), "policy", "bit 17"),
        (Snp(1 << 40 | 1 << 17), "policy", "reserved bits"),
        (Sev(POLICY), "session", "is missing"),
        (Sev(POLICY, FIRST, verification=HOST, expected_digest=SHA256), "session", "is given"),
        (Sev(POLICY, verification=HOST), "expected_digest", "is missing"),
        (Sev(POLICY, FIRST, expected_digest="AB" * 32), "expected_digest", "64 lower-case"),
        (Snp(expected_digest=SHA256), "expected_digest", "96 lower-case"),
        (Sev(POLICY, FIRST, deadline_ms=999), "deadline_ms", "1 s to 24 h"),
        (Snp(id_block="AA==", id_auth="AA=="), "id_block", "96 bytes"),
        (Snp(id_block=in_base64(bytes(96))), "id_block", "goes with"),
        (Snp(id_block=in_base64(bytes(96)), id_auth="?"), "id_auth", "at most 4096"),
    ],
)
def test_what_would_be_hollow_or_refused_is_told(
    confidential: Confidential, field: str, why: str
) -> None:
    (violation,) = check(wanting(confidential))
    assert violation.field == f"confidential.{field}"
    assert why in violation.description


@pytest.mark.parametrize("blob", ["", "AA==", "not base64", f"{FIRST.session_blob}\n"])
def test_a_session_has_its_size_in_strict_base64(blob: str) -> None:
    session = msgspec.structs.replace(FIRST, session_blob=blob)
    (violation,) = check(wanting(Sev(POLICY, session)))
    assert violation.field == "confidential.session.session_blob"


@pytest.mark.parametrize(
    ("shape", "field"),
    [
        (VmShape(), "vm.firmware"),
        (VmShape(firmware=FIRMWARE, firmware_vars=FIRMWARE), "vm.firmware_vars"),
        (VmShape(firmware=FIRMWARE, machine=Machine.PC), "vm.machine"),
    ],
)
def test_a_machine_that_cannot_be_measured_is_refused(shape: VmShape, field: str) -> None:
    (violation,) = check(msgspec.structs.replace(SEALED, vm=shape))
    assert violation.field == field


@pytest.mark.parametrize(
    ("recipients", "fields"),
    [
        ((Recipient("ada", "age1..."), Recipient("bob", "age1...")), []),
        ((Recipient("ada", "k"), Recipient("ada", "k")), ["result_recipients[1].name"]),
        ((Recipient("", "k"),), ["result_recipients[0].name"]),
        ((Recipient("ada", ""),), ["result_recipients[0].public_key"]),
    ],
)
def test_recipients_have_names_of_their_own_and_keys(
    recipients: tuple[Recipient, ...], fields: list[str]
) -> None:
    manifest = msgspec.structs.replace(MANIFEST, result_recipients=recipients)
    assert [violation.field for violation in check(manifest)] == fields
