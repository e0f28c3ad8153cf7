"""Known answers of real platforms and of other projects; skipped where they are not at hand."""

import base64
import datetime
import hashlib
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from supervisor.sev.amd_certificate import AmdRoots, parse_amd_certificates, trusted_roots
from supervisor.sev.certificate import Usage, parse_certificate, verify_signed_by
from supervisor.sev.digest import SnpImages, sev_digest, sev_es_digest, snp_digest
from supervisor.sev.endorsement import Endorsement, parse_x509, verify_endorsement
from supervisor.sev.errors import Malformed, Mismatch, Outdated, Untrusted, WeakPolicy
from supervisor.sev.firmware import parse_firmware
from supervisor.sev.firmware_version import FirmwareVersion
from supervisor.sev.hash_table import DirectBoot, direct_boot
from supervisor.sev.measurement import (
    Demands,
    Evidence,
    Measurement,
    parse_measurement,
    verify_launch,
)
from supervisor.sev.platform import Capabilities, Platform, read_capabilities, verify_platform
from supervisor.sev.policy import PolicyFlag
from supervisor.sev.report import SnpPolicy, SnpReport, parse_report
from supervisor.sev.secret import FIRMWARE_ROOM, Secret, seal, seal_with, secret_table
from supervisor.sev.session import TransportKeys, derive_key, wrap
from supervisor.sev.snp import SnpDemands, verify_report
from supervisor.sev.tcb import Tcb, read_tcb
from supervisor.sev.vmsa import Cpus, VmsaVariant, vmsa_pages

SEVCTL = "sevctl/tests/data"
SEVCTL_FIRMWARE = f"{SEVCTL}/OVMF.amdsev.fd_trimmed_edk2-ovmf-20220126gitbb1bba3d77-4.el9"
BUILTIN = "sev-crate/src/certs/sev/builtin"
NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
NO_FLAGS = PolicyFlag(0)
ANY_VERSION = FirmwareVersion(0, 0, 0)


@pytest.fixture(scope="session")
def known(vectors: Path) -> Any:
    return json.loads((vectors / "KAT.json").read_bytes())


def unhexed(case: Any, *names: str) -> list[bytes]:
    return [bytes.fromhex(case[name]) for name in names]


def test_key_derivation(known: Any) -> None:
    case = known["sev_kdf"]
    key, context, derived = unhexed(case, "key_in", "context", "out")
    assert derive_key(key, case["label"], context) == derived


def test_session_blob(known: Any) -> None:
    case = known["session_blob"]
    shared, tek, tik, nonce, iv = unhexed(case, "z", "tek", "tik", "nonce", "wrap_iv")
    blob = wrap(shared, TransportKeys(tek, tik), case["policy"], nonce, iv)
    found = [blob.wrapped, blob.wrap_mac, blob.policy_mac]
    assert found == unhexed(case, "wrap_tk", "wrap_mac", "policy_mac")


def accepted(evidence: Evidence, digest: bytes, tik: bytes) -> bytes:
    return verify_launch(evidence, Demands(evidence.policy, NO_FLAGS, ANY_VERSION, (digest,)), tik)


def test_measurement_of_the_sev_crate(known: Any) -> None:
    case = known["launch_measure_crate"]
    tik, digest, nonce, mac = unhexed(case, "tik", "launch_digest", "mnonce", "measure")
    version = FirmwareVersion(case["api_major"], case["api_minor"], case["build"])
    evidence = Evidence(Measurement(mac, nonce), version, case["policy"])
    assert accepted(evidence, digest, tik) == digest


def digest_of_sevctl(case: Any, vectors: Path) -> bytes:
    firmware = (vectors / SEVCTL_FIRMWARE).read_bytes()
    if "launch_digest_b64" in case:
        return base64.b64decode(case["launch_digest_b64"])
    if "num_cpus" in case:
        cpus = Cpus(case["num_cpus"], "EPYC-Milan")
        return sev_es_digest(firmware, None, cpus, VmsaVariant.LEGACY)
    return sev_digest(firmware, None)


@pytest.mark.parametrize("number", [0, 1, 2], ids=["digest", "firmware", "four CPUs of SEV-ES"])
def test_measurements_of_sevctl(number: int, known: Any, vectors: Path) -> None:
    case = known["launch_measure_sevctl"]["cases"][number]
    tik = (vectors / SEVCTL / case["tik"]).read_bytes()
    version = FirmwareVersion(case["api_major"], case["api_minor"], case["build_id"])
    measurement = parse_measurement(base64.b64decode(case["blob_b64"]))
    assert measurement.nonce == base64.b64decode(case["nonce_b64"])
    digest = digest_of_sevctl(case, vectors)
    evidence = Evidence(measurement, version, case["policy"])
    assert accepted(evidence, digest, tik) == digest
    with pytest.raises(Mismatch):
        accepted(evidence, hashlib.sha256(digest).digest(), tik)


def test_registers_are_those_of_sevctl(vectors: Path) -> None:
    reset = parse_firmware((vectors / SEVCTL_FIRMWARE).read_bytes()).demand_reset_address()
    pages = vmsa_pages(Cpus(2, "EPYC-Milan"), reset, VmsaVariant.LEGACY)
    assert pages == [(vectors / SEVCTL / f"vmsa{cpu}.bin").read_bytes() for cpu in (0, 1)]


def test_secret_of_sevctl(known: Any, vectors: Path) -> None:
    case = known["launch_secret_sevctl"]
    tek, tik = ((vectors / SEVCTL / case[name]).read_bytes() for name in ("tek", "tik"))
    measurement = parse_measurement(base64.b64decode(case["launch_measure_b64"]))
    [expected] = case["cases"]
    table = secret_table(
        [Secret(UUID(guid), (vectors / SEVCTL / f).read_bytes()) for guid, f in expected["secrets"]]
    )
    iv = base64.b64decode(case["iv_b64"])
    packet = seal_with(table, TransportKeys(tek, tik), measurement, iv)
    assert packet.header == base64.b64decode(expected["header_b64"])
    assert packet.ciphertext == base64.b64decode(expected["payload_b64"])


def test_the_largest_secret_of_sevctl_fits_the_firmware(vectors: Path) -> None:
    data = (vectors / SEVCTL / "secret" / "secret3.txt").read_bytes()
    keys, measurement = TransportKeys(bytes(16), bytes(16)), parse_measurement(bytes(48))
    table = secret_table([Secret(UUID(int=1), data)])
    assert len(seal(table, keys, measurement, FIRMWARE_ROOM).ciphertext) == FIRMWARE_ROOM


def test_launch_digests_of_other_projects(known: Any, vectors: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    checked = 0
    for case in known["launch_digest"]["cases"]:
        if case["mode"] == "snp:ovmf-hash":
            continue  # a stretch of the chain, which no guest is launched with
        file = vectors / "sev-snp-measure" / "tests" / "fixtures" / case["ovmf"]
        assert digest_of_case(case, file, tmp_path / "empty") == bytes.fromhex(case["ld"])
        checked += 1
    assert checked == 7


def digest_of_case(case: Any, file: Path, empty: Path) -> bytes:
    text = case.get("append") or ""
    boots = case["kernel"] is not None
    boot: DirectBoot | None = direct_boot(b"", b"", text) if boots else None
    if case["mode"] == "sev":
        return sev_digest(file.read_bytes(), boot)
    cpus = Cpus(case["vcpus"], case["vcpu_type"])
    if case["mode"] == "seves":
        return sev_es_digest(file.read_bytes(), boot, cpus, VmsaVariant.INIT2)
    images = SnpImages(file, empty if boots else None, None, text)
    return snp_digest(images, cpus, int(case["guest_features"], 16))


def roots_of(generation: str, vectors: Path) -> AmdRoots:
    folder = vectors / BUILTIN / generation
    data = (folder / "ask.cert").read_bytes() + (folder / "ark.cert").read_bytes()
    return trusted_roots(parse_amd_certificates(data))


def platform_of(generation: str, vectors: Path) -> Platform:
    folder = vectors / "sev-crate" / "tests" / generation
    usages = (Usage.PDH, Usage.PEK, Usage.OCA, Usage.CEK)
    return Platform(
        *(parse_certificate((folder / f"{u.name.lower()}.cert").read_bytes(), u) for u in usages)
    )


@pytest.mark.parametrize("generation", ["naples", "rome", "milan", "genoa", "turin"])
def test_amds_roots_are_whole(generation: str, vectors: Path) -> None:
    roots_of(generation, vectors)


@pytest.mark.parametrize("generation", ["naples", "rome"])
def test_chains_of_real_platforms_lead_to_amds_roots(generation: str, vectors: Path) -> None:
    platform = platform_of(generation, vectors)
    key = verify_platform(platform, roots_of(generation, vectors))
    assert key == platform.pdh.public_key()


@pytest.mark.parametrize("generation", ["naples", "rome"])
@pytest.mark.parametrize("other", ["naples", "rome", "milan", "genoa", "turin"])
def test_chains_of_real_platforms_lead_to_no_other_root(
    generation: str, other: str, vectors: Path
) -> None:
    if other != generation:
        with pytest.raises(Untrusted, match="the CEK certificate is not signed by this ASK"):
            verify_platform(platform_of(generation, vectors), roots_of(other, vectors))


def test_asks_of_one_generation_are_none_of_another(vectors: Path) -> None:
    files = [vectors / BUILTIN / "rome" / "ask.cert", vectors / BUILTIN / "milan" / "ark.cert"]
    with pytest.raises(Untrusted, match="names another ARK"):
        trusted_roots(parse_amd_certificates(b"".join(file.read_bytes() for file in files)))


def test_an_ark_without_its_signature_is_refused(vectors: Path) -> None:
    data = (vectors / "sev-crate" / "tests" / "naples" / "ark.cert.bad").read_bytes()
    with pytest.raises(Malformed, match="the ARK certificate has 576 bytes of 832"):
        parse_amd_certificates(data)


@pytest.mark.parametrize("version", ["9.2.0", "10.0.0"])
def test_real_answers_of_qemu_are_read(version: str, vectors: Path) -> None:
    reply = json.loads(
        (vectors / f"libvirt/query-sev-capabilities_qemu-{version}.json").read_text()
    )
    platform, chip_id = read_capabilities(msgspec.convert(reply["return"], Capabilities))
    assert len(chip_id) == 64
    verify_signed_by(platform.pek, platform.cek)
    verify_signed_by(platform.pek, platform.oca)
    verify_signed_by(platform.pdh, platform.pek)
    with pytest.raises(Untrusted, match="the CEK certificate bears no signature of the ASK"):
        verify_platform(platform, roots_of("milan", vectors))


REPORTS = {
    "sev": (
        "sev-crate/tests/certs_data/report_milan.hex",
        "sev-crate/tests/certs_data/vcek_milan.der",
        "sev-crate/tests/certs_data/cert_chain_milan",
    ),
    "go-sev-guest": (
        "go-sev-guest/verify/testdata/attestation.bin",
        "go-sev-guest/verify/testdata/vcek.testcer",
        "go-sev-guest/verify/testdata/milan.testcer",
    ),
    "trustee": (
        "trustee/deps/verifier/test_data/snp/test-report.bin",
        "trustee/deps/verifier/test_data/snp/test-vcek.der",
        "trustee/deps/verifier/src/snp/milan_ask_ark_asvk.pem",
    ),
}


def report_of(name: str, vectors: Path) -> SnpReport:
    data = (vectors / REPORTS[name][0]).read_bytes()
    return parse_report(bytes.fromhex(data.decode()) if name == "sev" else data)


def endorsement_of(name: str, vectors: Path, roots: str | None = None) -> Endorsement:
    _, leaf, chain = REPORTS[name]
    [key] = parse_x509((vectors / leaf).read_bytes(), leaf)
    authorities = parse_x509((vectors / (roots or chain)).read_bytes(), chain)
    return verify_endorsement(key, authorities, NOW)


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_real_reports_of_milan(name: str, vectors: Path) -> None:
    report = report_of(name, vectors)
    accepted = SnpPolicy.DEBUG if name == "go-sev-guest" else SnpPolicy(0)
    demands = SnpDemands(
        (report.measurement,),
        report.report_data,
        report.reported_tcb,
        report.host_data,
        report.id_key_digest,
        accepted,
    )
    endorsement = endorsement_of(name, vectors)
    verify_report(report, endorsement, demands)
    later = msgspec.structs.replace(demands, minimum_tcb=Tcb(microcode=200))
    with pytest.raises(Outdated, match="the reported TCB has microcode"):
        verify_report(report, endorsement, later)


def test_a_real_report_of_a_guest_that_may_be_debugged_is_refused(vectors: Path) -> None:
    report = report_of("go-sev-guest", vectors)
    demands = SnpDemands((report.measurement,), report.report_data, Tcb())
    with pytest.raises(WeakPolicy, match="policy 0xb0000 allows debugging"):
        verify_report(report, endorsement_of("go-sev-guest", vectors), demands)


def test_a_real_tcb_is_read(vectors: Path) -> None:
    reported = report_of("sev", vectors).reported_tcb
    assert reported == read_tcb("bootloader=3,tee=0,snp=8,microcode=115")


def test_reports_are_of_one_chip(vectors: Path) -> None:
    report, other = report_of("sev", vectors), endorsement_of("trustee", vectors)
    demands = SnpDemands((report.measurement,), report.report_data, Tcb())
    with pytest.raises(Untrusted, match="the report is not signed by this key"):
        verify_report(report, other, demands)


@pytest.mark.parametrize("name", ["test-vcek-invalid-legacy.der", "test-vcek-invalid-new.der"])
def test_keys_that_amd_never_signed_are_refused(name: str, vectors: Path) -> None:
    file = vectors / "trustee/deps/verifier/test_data/snp" / name
    authorities = parse_x509((vectors / REPORTS["trustee"][2]).read_bytes(), "roots")
    with pytest.raises(Untrusted, match="is not signed by its issuer's key"):
        verify_endorsement(parse_x509(file.read_bytes(), name)[0], authorities, NOW)


@pytest.mark.parametrize(
    "roots",
    [
        "go-sev-guest/verify/trust/ask_ark_genoa.pem",
        "go-sev-guest/verify/testdata/milanvlek.testcer",
        "trustee/deps/verifier/src/snp/turin_ask_ark_asvk.pem",
    ],
)
def test_a_vcek_leads_to_the_root_of_its_generation(roots: str, vectors: Path) -> None:
    with pytest.raises(Untrusted, match="do not hold the issuer of the report's key"):
        endorsement_of("sev", vectors, roots)


def test_a_vcek_of_turin_tells_the_parts_of_its_tcb(vectors: Path) -> None:
    folder = vectors / "sev-crate/tests/certs_data"
    [leaf] = parse_x509((folder / "vcek_turin.der").read_bytes(), "VCEK")
    authorities = parse_x509((folder / "cert_chain_turin").read_bytes(), "roots")
    found = verify_endorsement(leaf, authorities, NOW)
    assert (found.tcb, len(found.chip_id)) == (Tcb(microcode=9), 8)
