"""`[confidential]`: the owner's files become what the daemon takes, or are refused by name."""

import base64
from pathlib import Path

import pytest

from supervisor.manifest import ManifestInvalid, load, prepare
from supervisor.vm.confidential import Confidential, Sev, SevEs, Snp, Verification, VmsaVariant
from supervisor.vm.spec import Manifest, Recipient

DIGEST = "a" * 64
BLOB, CERTIFICATE = b"s" * 128, b"c" * 2084


def manifest(directory: Path, table: str, vm: str = f'firmware = {{sha256 = "{DIGEST}"}}') -> Path:
    """Write a manifest with this `[confidential]`, beside a session's directory."""
    session = directory / "launch-1"
    session.mkdir(exist_ok=True)
    (session / "session.b64").write_bytes(base64.b64encode(BLOB))
    (session / "godh.b64").write_bytes(base64.b64encode(CERTIFICATE) + b"\n")
    file = directory / "m.toml"
    head = f'name = "n"\nalgorithm = {{sha256 = "{DIGEST}"}}\n'
    file.write_text(f"{head}[vm]\n{vm}\n[confidential]\n{table}\n")
    return file


def prepared(file: Path) -> Manifest:
    return prepare(load(file), file).manifest


def demanded(directory: Path, table: str) -> Confidential:
    found = prepared(manifest(directory, table)).confidential
    assert found is not None
    return found


def complaints(directory: Path, table: str) -> list[str]:
    file = manifest(directory, table)
    with pytest.raises(ManifestInvalid) as caught:
        prepared(file)
    return str(caught.value).replace(f"{file}: ", "").replace(f"{directory}/", "").splitlines()


@pytest.mark.parametrize("policy", ['"nodbg,noks"', "3", '"0x3"'])
def test_a_session_directory_becomes_a_session(tmp_path: Path, policy: str) -> None:
    found = demanded(tmp_path, f'kind = "sev"\npolicy = {policy}\nsession = "launch-1"')

    assert isinstance(found, Sev)
    assert found.session is not None
    assert base64.b64decode(found.session.session_blob) == BLOB
    assert base64.b64decode(found.session.godh_cert, validate=True) == CERTIFICATE
    assert (found.policy, found.kernel_hashes, found.deadline_ms) == (3, True, 600_000)


def test_sev_es_takes_its_variant(tmp_path: Path) -> None:
    table = 'kind = "sev-es"\npolicy = 7\nsession = "launch-1"\nvmsa_variant = "init2"'
    found = demanded(tmp_path, table + '\ndeadline = "1h"')

    assert isinstance(found, SevEs)
    assert (found.vmsa_variant, found.deadline_ms) == (VmsaVariant.INIT2, 3_600_000)


def test_a_trusted_host_needs_no_session(tmp_path: Path) -> None:
    table = f'kind = "sev"\npolicy = 1\nverification = "trusted-host"\nexpected_digest = "{DIGEST}"'
    found = demanded(tmp_path, table)

    assert isinstance(found, Sev)
    assert (found.verification, found.session) == (Verification.TRUSTED_HOST, None)


def test_snp_takes_an_id_block_from_files(tmp_path: Path) -> None:
    (tmp_path / "block").write_text(base64.b64encode(b"b" * 96).decode())
    (tmp_path / "auth").write_text(base64.b64encode(b"a" * 4096).decode())
    found = demanded(tmp_path, 'kind = "snp"\nid_block = "block"\nid_auth = "auth"')

    assert isinstance(found, Snp)
    assert base64.b64decode(found.id_block) == b"b" * 96
    assert base64.b64decode(found.id_auth) == b"a" * 4096
    assert found.policy == 0x30000


def test_encryption_and_recipients_are_handed_on(tmp_path: Path) -> None:
    file = tmp_path / "m.toml"
    file.write_text(
        f'name = "n"\nalgorithm = {{sha256 = "{DIGEST}", encryption = "aes"}}\n'
        f'datasets = [{{name = "d", sha256 = "{DIGEST}", encryption = "age"}}]\n'
        'result_recipients = [{name = "Alice", public_key = "age1"}]\n'
    )
    found = prepared(file)

    assert (found.algorithm.encryption, found.datasets[0].encryption) == ("aes", "age")
    assert found.result_recipients == (Recipient("Alice", "age1"),)


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        (
            'kind = "sev"\nsession = "launch-1"',
            'confidential.policy: missing; it takes a number, or flags such as "nodbg,noks"',
        ),
        (
            'kind = "sev"\npolicy = 1\nsession = "launch-2"',
            "confidential.session: launch-2/godh.b64: no such file",
        ),
        (
            'kind = "sev"\npolicy = 1\nsession = "launch-1"\nid_auth = "x"',
            "confidential.id_auth: does not go with kind 'sev'",
        ),
        (
            'kind = "sev"\npolicy = 1\nsession = "launch-1"\nvmsa_variant = "legacy"',
            "confidential.vmsa_variant: does not go with kind 'sev'",
        ),
        (
            'kind = "snp"\nsession = "launch-1"',
            "confidential.session: does not go with kind 'snp'",
        ),
        (
            'kind = "snp"\nid_block = "launch-1/session.b64"',
            "confidential.id_block: launch-1/session.b64 has 128 bytes, and must have 96",
        ),
        (
            'kind = "sev"\npolicy = 1\nsession = "launch-1"\ndeadline = "2d"',
            'confidential.deadline: got "2d"; it takes 1s to 1d',
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, table: str, complaint: str) -> None:
    assert complaint in complaints(tmp_path, table)


@pytest.mark.parametrize(
    ("policy", "says"),
    [('"nodbg,nonsense"', "nonsense is no flag"), ('"0x40"', "reserved bits 0x40"), ("true", "")],
)
def test_a_policy_that_is_none_is_refused_where_it_stands(
    tmp_path: Path, policy: str, says: str
) -> None:
    (complaint,) = complaints(tmp_path, f'kind = "sev"\npolicy = {policy}\nsession = "launch-1"')

    assert complaint.startswith("confidential.policy: got ")
    assert says in complaint


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"A" * 9, "not base64"),
        (b"QUFB", "3 bytes, and must have 128"),
        (b"A" * 9000, "more than"),
    ],
)
def test_a_damaged_session_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    file = manifest(tmp_path, 'kind = "sev"\npolicy = 1\nsession = "launch-1"')
    (tmp_path / "launch-1" / "session.b64").write_bytes(content)
    with pytest.raises(ManifestInvalid, match=f"confidential.session: .*session.b64 .*{says}"):
        prepared(file)
