"""`chronovisor sev`: a guest owner's whole exchange with a platform of our own, from files."""

import base64
import hashlib
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from cryptography.hazmat.primitives.serialization import Encoding

from supervisor.cli.exits import ExitCode
from supervisor.cli.sev.refusals import OF_REFUSAL
from supervisor.sev.errors import SevRefused
from supervisor.sev.secret import parse_secret_table
from tests.cli.conftest import Run, answer
from tests.cli.owner import POLICY, Owner
from tests.sev import images
from tests.sev.amd import Generation, new_generation
from tests.sev.attestation import attestation
from tests.sev.chip import Chip, new_chip
from tests.sev.snp_chip import Report, new_amd, new_snp_chip


@pytest.fixture(scope="module")
def generation() -> Generation:
    return new_generation(2048)


@pytest.fixture(scope="module")
def chip(generation: Generation) -> Chip:
    return new_chip(generation)


@pytest.fixture
def owner(tmp_path: Path, run: Run, chip: Chip, generation: Generation) -> Owner:
    return Owner(tmp_path, run, chip, generation)


def refused(result: Result, code: ExitCode, sentence: str) -> None:
    assert (result.exit_code, result.stdout) == (code, ""), result.stderr
    assert result.stderr.startswith("Error: ")
    assert sentence in result.stderr


def test_every_kind_of_refusal_has_a_code_of_its_own() -> None:
    assert set(OF_REFUSAL) == set(SevRefused.__subclasses__())
    assert len(set(OF_REFUSAL.values())) == len(OF_REFUSAL)


def test_a_platform_is_told_with_the_address_of_its_certificate(owner: Owner) -> None:
    found = answer(owner.run, "sev", "platform", owner.file("platform.json"))
    chip_id = owner.chip.chip_id.hex()
    assert found["chip_id"] == chip_id
    assert found["signed_cek"] == f"https://kdsintf.amd.com/cek/id/{chip_id}"
    assert (found["cbitpos"], found["reduced_phys_bits"]) == (51, 1)


def test_what_a_person_reads(owner: Owner) -> None:
    assert (
        "cbitpos            51\n"
        in owner.run("sev", "platform", owner.file("platform.json")).stdout
    )
    made = owner.make_session()
    assert made.stdout == f"a session is in {owner.session}, with the policy 0x3 (nodbg, noks)\n"
    assert made.stderr.endswith("keep tk.bin to yourself\n")
    _, measurement = owner.launch()
    verified = owner.run("sev", "verify", *owner.evidence(measurement))
    assert verified.stdout == (
        f"it is your guest: launch digest {owner.digest()}, policy 0x3 (nodbg, noks)\n"
    )


def test_what_a_script_reads(owner: Owner) -> None:
    pdh = answer(owner.run, "sev", "platform", owner.file("platform.json"))["pdh_sha256"]
    chain = answer(owner.run, "sev", "verify-chain", *owner.chain)
    assert chain == {"verified": True, "pdh_sha256": pdh}
    made = json.loads(owner.make_session("--json").stdout)
    blob = base64.b64decode((owner.session / "session.b64").read_bytes())
    assert made == {
        "directory": str(owner.session),
        "policy": POLICY,
        "session_sha256": hashlib.sha256(blob).hexdigest(),
        "pdh_sha256": pdh,
    }
    _, measurement = owner.launch()
    sealing = ("--secret", f"luks-key:{owner.file('disk.key')}")
    sealed = answer(owner.run, "sev", "secret", *owner.evidence(measurement), *sealing)
    kept = json.loads((owner.session / "secret.json").read_bytes())
    assert sealed == {"verified": True, **kept}


@pytest.mark.parametrize("content", [b"", b"[]", b'{"pdh": "AAAA"}', b"\xff", b'{"return": 1}'])
def test_what_is_no_answer_of_qemu_is_refused(owner: Owner, content: bytes) -> None:
    file = owner.write("answer.json", content)
    result = owner.run("sev", "platform", str(file))
    refused(result, ExitCode.MALFORMED, "is no answer to query-sev-capabilities")


def test_a_chain_that_holds_is_told(owner: Owner) -> None:
    result = owner.run("sev", "verify-chain", *owner.chain)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("the chain holds: AMD made the processor whose PDH has SHA-256")


def test_a_chain_that_does_not_hold_is_refused(owner: Owner) -> None:
    other = new_generation(2048)
    owner.write("ask_ark.cert", other.ask + other.ark)
    result = owner.run("sev", "verify-chain", *owner.chain)
    refused(result, ExitCode.UNTRUSTED, "the CEK certificate is not signed by this ASK")


def test_a_refusal_is_also_told_in_json(owner: Owner) -> None:
    owner.write("cek.cert", owner.chip.cek[:-1])
    result = owner.run("sev", "verify-chain", *owner.chain, "--json")
    assert result.exit_code == ExitCode.MALFORMED
    assert json.loads(result.stdout) == {
        "verified": False,
        "kind": "malformed",
        "why": "the CEK certificate has 2083 bytes, and must have 2084",
    }


def test_a_session_is_kept_where_only_its_owner_reads(owner: Owner) -> None:
    assert owner.make_session().exit_code == 0
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in owner.session.iterdir()}
    assert modes == dict.fromkeys(["tk.bin", "session.b64", "godh.b64", "session.json"], 0o600)
    assert stat.S_IMODE(owner.session.stat().st_mode) == 0o700


def test_a_session_never_takes_the_place_of_another(owner: Owner) -> None:
    owner.make_session()
    before = (owner.session / "tk.bin").read_bytes()
    refused(owner.make_session(), ExitCode.USAGE, "each session takes a directory of its own")
    assert (owner.session / "tk.bin").read_bytes() == before


def test_no_session_is_made_with_a_platform_whose_chain_does_not_hold(owner: Owner) -> None:
    owner.write("cek.cert", owner.chip.bare_cek)
    result = owner.make_session()
    refused(result, ExitCode.UNTRUSTED, "the CEK certificate bears no signature of the ASK")
    assert not owner.session.exists()


def test_no_session_is_made_for_a_policy_weaker_than_demanded(owner: Owner) -> None:
    result = owner.make_session("--policy", "noks")
    refused(result, ExitCode.WEAK_POLICY, "the policy 0x2 lacks nodbg, which is demanded")
    assert not owner.session.exists()
    assert owner.make_session("--policy", "noks", "--require", "noks").exit_code == 0


def test_an_owner_verifies_and_releases_a_secret(owner: Owner) -> None:
    owner.make_session()
    launch, measurement = owner.launch()
    verified = answer(owner.run, "sev", "verify", *owner.evidence(measurement))
    assert verified == {"verified": True, "digest": owner.digest(), "policy": POLICY}

    sealing = ("--secret", f"luks-key:{owner.file('disk.key')}")
    result = owner.run("sev", "secret", *owner.evidence(measurement), *sealing)
    assert result.exit_code == 0, result.stderr
    packet = json.loads((owner.session / "secret.json").read_bytes())
    header, payload = (base64.b64decode(packet[name]) for name in ("packet_header", "secret"))
    [entry] = parse_secret_table(launch.take(header, payload))
    assert entry.data == b"swordfish"
    assert packet["measurement"] == measurement
    assert b"swordfish" not in (owner.session / "secret.json").read_bytes()


def test_a_session_seals_once(owner: Owner) -> None:
    owner.make_session()
    _, measurement = owner.launch()
    sealing = ("--secret", f"luks-key:{owner.file('disk.key')}")
    assert owner.run("sev", "secret", *owner.evidence(measurement), *sealing).exit_code == 0
    before = (owner.session / "secret.json").read_bytes()
    again = owner.run("sev", "secret", *owner.evidence(measurement), *sealing)
    refused(again, ExitCode.UNFIT, "this session has sealed a secret already")
    assert (owner.session / "secret.json").read_bytes() == before


@pytest.mark.parametrize("command", ["verify", "secret"])
@pytest.mark.parametrize(
    ("changes", "code", "sentence"),
    [
        ({"digest": "00" * 32}, ExitCode.MISMATCH, "the measurement is of another launch"),
        ({"policy": "0x1"}, ExitCode.MISMATCH, "and the session was made for 0x3"),
        ({"require": "es"}, ExitCode.WEAK_POLICY, "lacks es, which is demanded"),
        ({"min_version": "1.55.25"}, ExitCode.OUTDATED, "at least 1.55.25 is demanded"),
        ({"measurement": "AAA"}, ExitCode.MALFORMED, "the measurement is not base64, or a part"),
        ({"measurement": "AAAA"}, ExitCode.MALFORMED, "the measurement has 3 bytes"),
        ({"platform_version": "1.55"}, ExitCode.USAGE, "it takes MAJOR.MINOR.BUILD"),
        ({"digest": "00"}, ExitCode.USAGE, "a launch digest has 1 bytes, and must have 32"),
        ({"digest": "not hex"}, ExitCode.USAGE, "a launch digest is not hexadecimal"),
        ({"session": "/nowhere"}, ExitCode.USAGE, "no such file or directory"),
    ],
)
def test_another_launch_is_refused_and_gets_no_secret(
    owner: Owner, command: str, changes: dict[str, str], code: ExitCode, sentence: str
) -> None:
    owner.make_session()
    _, measurement = owner.launch()
    sealing = ("--secret", f"luks-key:{owner.file('disk.key')}") if command == "secret" else ()
    given = {"measurement": measurement, **changes}
    result = owner.run("sev", command, *owner.evidence(**given), *sealing)
    assert (result.exit_code, result.stdout) == (code, "")
    assert sentence in result.stderr
    assert not (owner.session / "secret.json").exists()


def test_keys_that_others_may_have_read_are_not_used(owner: Owner) -> None:
    owner.make_session()
    _, measurement = owner.launch()
    (owner.session / "tk.bin").chmod(0o644)
    result = owner.run("sev", "verify", *owner.evidence(measurement))
    refused(result, ExitCode.HOST_TROUBLE, "others may read")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("tk.bin", b"short", "the file of the session's keys has 5 bytes, and must have 32"),
        ("session.json", b"{", "session.json is damaged"),
    ],
)
def test_a_damaged_session_is_refused(
    owner: Owner, name: str, content: bytes, sentence: str
) -> None:
    owner.make_session()
    _, measurement = owner.launch()
    (owner.session / name).write_bytes(content)
    result = owner.run("sev", "verify", *owner.evidence(measurement))
    refused(result, ExitCode.MALFORMED, sentence)


def test_a_session_without_its_keys_is_not_found(owner: Owner) -> None:
    owner.make_session()
    _, measurement = owner.launch()
    (owner.session / "tk.bin").unlink()
    result = owner.run("sev", "verify", *owner.evidence(measurement))
    refused(result, ExitCode.NOT_FOUND, "there is no session in")


def test_secrets_have_the_room_that_the_firmware_tells(owner: Owner) -> None:
    owner.make_session()
    _, measurement = owner.launch()
    owner.write("disk.key", bytes(0xC00 - 40 + 1))
    sealing = ("--secret", f"luks-key:{owner.file('disk.key')}")
    result = owner.run("sev", "secret", *owner.evidence(measurement), *sealing)
    refused(result, ExitCode.UNFIT, "there is room for 3072")
    larger = {**images.AMD_SEV, images.SECRET: b"\0\0\1\0" + b"\0\x20\0\0"}
    owner.write("roomy", images.firmware(larger))
    result = owner.run(
        "sev", "secret", *owner.evidence(measurement), *sealing, "--firmware", owner.file("roomy")
    )
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize("secret", ["disk.key", "luks-key:", "moon:disk.key"])
def test_a_secret_needs_a_name_and_a_file(owner: Owner, secret: str) -> None:
    owner.make_session()
    _, measurement = owner.launch()
    result = owner.run("sev", "secret", *owner.evidence(measurement), "--secret", secret)
    assert result.exit_code == ExitCode.USAGE
    assert "it takes luks-key:FILE or GUID:FILE" in result.stderr


def digest(owner: Owner, kind: str, *options: str) -> Result:
    return owner.run("sev", "digest", kind, "--firmware", owner.file("firmware"), *options)


def test_digests_are_of_what_is_launched(owner: Owner) -> None:
    owner.write("firmware", images.snp_firmware(*images.SECTIONS, images.HASHES_SECTION))
    boot = ("--kernel", owner.file("kernel"), "--initrd", owner.file("disk.key"))
    cpus = ("--vcpus", "2", "--cpu", "EPYC-Milan")
    found = [
        digest(owner, "sev").stdout,
        digest(owner, "sev", *boot).stdout,
        digest(owner, "sev-es", *boot, *cpus, "--vmsa", "legacy").stdout,
        digest(owner, "sev-es", *boot, *cpus, "--vmsa", "init2").stdout,
        digest(owner, "snp", *boot, *cpus).stdout,
        digest(owner, "snp", *boot, *cpus, "--guest-features", "0x21").stdout,
    ]
    assert [len(each) for each in found] == [65, 65, 65, 65, 97, 97]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("sev", "--initrd", "i"), "are only measured with --kernel"),
        (("sev", "--command-line", ""), "are only measured with --kernel"),
        (("sev-es", "--vmsa", "legacy"), "sev-es measures the CPUs: it takes --vcpus and --cpu"),
        (("snp", "--vcpus", "1"), "snp measures the CPUs: it takes --vcpus and --cpu"),
        (("sev-es", "--vcpus", "1", "--cpu", "EPYC"), "--vmsa is for sev-es"),
        (("sev", "--vmsa", "init2"), "--vmsa is for sev-es"),
        (("snp", "--guest-features", "many"), "--guest-features takes a number"),
    ],
)
def test_a_digest_of_something_that_is_not_measured_is_wrong_usage(
    owner: Owner, words: tuple[str, ...], sentence: str
) -> None:
    result = digest(owner, *words)
    assert (result.exit_code, result.stdout) == (ExitCode.USAGE, "")
    assert sentence in result.stderr


def test_a_kernel_that_the_firmware_cannot_measure_is_refused(owner: Owner) -> None:
    owner.write("firmware", bytes(4096))
    result = digest(owner, "sev", "--kernel", owner.file("kernel"))
    refused(result, ExitCode.UNFIT, "this firmware has no area for hashes")


def snp_words(tmp_path: Path, **changes: Any) -> list[str]:
    """A report of a chip of our own, and what is demanded of it."""
    tmp_path.mkdir(exist_ok=True)
    amd = new_amd()
    chip = new_snp_chip(amd)
    contents = {
        "report": Report(chip.chip_id, **changes).signed_by(chip.key),
        "vcek": chip.certificate.public_bytes(Encoding.DER),
        "roots": b"".join(each.public_bytes(Encoding.PEM) for each in (amd.ask, amd.ark)),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    options = {
        "key": str(tmp_path / "vcek"),
        "amd-root": str(tmp_path / "roots"),
        "measurement": (b"m" * 48).hex(),
        "report-data": (b"n" * 64).hex(),
        "host-data": (b"h" * 32).hex(),
        "id-key-digest": (b"i" * 48).hex(),
        "min-tcb": "bootloader=3,tee=0,snp=8,microcode=115",
    }
    written = [word for name, value in options.items() for word in (f"--{name}", value)]
    return ["sev", "verify-report", str(tmp_path / "report"), *written]


def test_a_report_of_the_expected_guest_is_accepted(run: Run, tmp_path: Path) -> None:
    words = snp_words(tmp_path)
    assert run(*words).stdout == "it is your guest, by a VCEK that AMD vouches for\n"
    found = answer(run, *words)
    assert (found["verified"], found["signed_by"]) == (True, "vcek")
    assert found["reported_tcb"] == "bootloader=3,tee=0,snp=8,microcode=115,fmc=0"


@pytest.mark.parametrize(
    ("changes", "code", "sentence"),
    [
        ({"measurement": b"o" * 48}, ExitCode.MISMATCH, "measurement is of another guest"),
        ({"report_data": b"o" * 64}, ExitCode.MISMATCH, "the report's report data is"),
        ({"host_data": b"o" * 32}, ExitCode.MISMATCH, "the report's host data is"),
        ({"policy": 0xB0000}, ExitCode.WEAK_POLICY, "allows debugging"),
        ({"launch_tcb": bytes(8)}, ExitCode.OUTDATED, "the launch's TCB has bootloader 0"),
        ({"chip_id": bytes(64)}, ExitCode.UNTRUSTED, "of another chip"),
        ({"version": 1}, ExitCode.MALFORMED, "version 1"),
    ],
)
def test_another_report_is_refused(
    run: Run, tmp_path: Path, changes: dict[str, Any], code: ExitCode, sentence: str
) -> None:
    others = {0x1A0: changes.pop("chip_id")} if "chip_id" in changes else {}
    refused(run(*snp_words(tmp_path, **changes, others=others)), code, sentence)


def test_a_guest_that_may_be_debugged_is_accepted_by_name(run: Run, tmp_path: Path) -> None:
    assert run(*snp_words(tmp_path, policy=0xB0000), "--allow-debug").exit_code == 0


def test_the_key_of_a_report_is_one_certificate(run: Run, tmp_path: Path) -> None:
    words = snp_words(tmp_path)
    (tmp_path / "vcek").write_bytes((tmp_path / "roots").read_bytes())
    refused(run(*words), ExitCode.MALFORMED, "holds 2 certificates, and must hold the key's alone")


def test_a_file_that_is_far_too_large_is_another(run: Run, tmp_path: Path) -> None:
    words = snp_words(tmp_path)
    (tmp_path / "report").write_bytes(bytes((64 << 10) + 1))
    refused(run(*words), ExitCode.USAGE, "it has more than 65536 bytes, so it is another")


def attestation_words(owner: Owner, **changes: str) -> list[str]:
    """A report of a guest of our own, and what is demanded of it."""
    signed = attestation(owner.chip, b"n" * 16, b"d" * 32, POLICY)
    options = {
        "platform": owner.file("platform.json"),
        "signed-cek": owner.file("cek.cert"),
        "amd-root": owner.file("ask_ark.cert"),
        "nonce": (b"n" * 16).hex(),
        "digest": (b"d" * 32).hex(),
        "policy": "nodbg,noks",
        **changes,
    }
    written = [word for name, value in options.items() for word in (f"--{name}", value)]
    return ["sev", "verify-report", str(owner.write("report", signed)), *written]


def test_a_report_of_a_running_sev_guest_is_accepted(owner: Owner) -> None:
    words = attestation_words(owner)
    digest = (b"d" * 32).hex()
    assert owner.run(*words).stdout == (
        f"a guest like yours runs there: launch digest {digest}, policy 0x3 (nodbg, noks)\n"
    )
    assert answer(owner.run, *words) == {
        "verified": True,
        "signed_by": "pek",
        "digest": digest,
        "policy": POLICY,
    }


@pytest.mark.parametrize(
    ("changes", "code", "sentence"),
    [
        ({"nonce": "00" * 16}, ExitCode.MISMATCH, "it was made for another question"),
        ({"digest": "00" * 32}, ExitCode.MISMATCH, "the report's digest is of another guest"),
        ({"policy": "0x0"}, ExitCode.MISMATCH, "the report's policy is 0x3, and 0x0 is demanded"),
        ({"require": "es"}, ExitCode.WEAK_POLICY, "lacks es, which is demanded"),
    ],
)
def test_another_report_of_a_running_sev_guest_is_refused(
    owner: Owner, changes: dict[str, str], code: ExitCode, sentence: str
) -> None:
    refused(owner.run(*attestation_words(owner, **changes)), code, sentence)


def test_a_running_guest_has_the_flags_that_an_owner_names_none_of(owner: Owner) -> None:
    words = attestation_words(owner, policy="noks")
    weak = attestation(owner.chip, b"n" * 16, b"d" * 32, 0x2)
    owner.write("report", weak)
    refused(owner.run(*words), ExitCode.WEAK_POLICY, "the policy 0x2 lacks nodbg")
    assert owner.run(*words, "--require", "noks").exit_code == 0


def test_a_report_of_another_platform_is_refused(owner: Owner, generation: Generation) -> None:
    words = attestation_words(owner)
    other = attestation(new_chip(generation), b"n" * 16, b"d" * 32, POLICY)
    owner.write("report", other)
    refused(owner.run(*words), ExitCode.UNTRUSTED, "not signed by this platform's PEK")


def test_a_report_of_no_known_size_is_refused(owner: Owner) -> None:
    words = attestation_words(owner)
    owner.write("report", bytes(209))
    sizes = "a report of SEV has 208, a report of SEV-SNP has 1184"
    refused(owner.run(*words), ExitCode.MALFORMED, f"has 209 bytes, which no report has: {sizes}")


def test_a_report_takes_the_options_of_its_kind_and_no_others(owner: Owner, tmp_path: Path) -> None:
    sev, snp = attestation_words(owner), snp_words(tmp_path / "snp")
    for words, missing, foreign in (
        (sev, "--nonce", ["--host-data", "00" * 32]),
        (sev, "--digest", ["--allow-debug"]),
        (snp, "--key", ["--policy", "0"]),
        (snp, "--measurement", ["--require", "es"]),
    ):
        at = words.index(missing)
        result = owner.run(*words[:at], *words[at + 2 :])
        refused_usage(result, f"also takes {missing}")
        refused_usage(owner.run(*words, *foreign), f"does not take {foreign[0]}")


def test_a_nonce_and_a_digest_have_their_lengths(owner: Owner) -> None:
    short = owner.run(*attestation_words(owner, nonce="00"))
    refused_usage(short, "the nonce has 1 bytes, and must have 16")
    short = owner.run(*attestation_words(owner, digest="00"))
    refused_usage(short, "a launch digest has 1 bytes, and must have 32")


def refused_usage(result: Result, sentence: str) -> None:
    assert (result.exit_code, result.stdout) == (ExitCode.USAGE, "")
    assert sentence in result.stderr


@pytest.mark.parametrize(
    "command",
    ["platform", "verify-chain", "session", "digest", "verify", "secret", "verify-report"],
)
def test_every_command_shows_an_example(run: Run, command: str) -> None:
    text = run("sev", command, "--help").stdout
    assert "Example" in text
    assert f"chronovisor sev {command} " in text
