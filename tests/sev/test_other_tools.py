"""Debian's virt-qemu-sev-validate judges: a tool that shares no code with this one."""

import base64
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from supervisor.sev.digest import sev_digest, sev_es_digest
from supervisor.sev.firmware_version import FirmwareVersion
from supervisor.sev.hash_table import direct_boot
from supervisor.sev.measurement import Demands, Evidence, parse_measurement, verify_launch
from supervisor.sev.policy import PolicyFlag
from supervisor.sev.secret import Secret, parse_secret_table, seal, secret_table
from supervisor.sev.session import new_session
from supervisor.sev.vmsa import Cpus, VmsaVariant
from tests.sev import images
from tests.sev.chip import Chip, Launch, start
from tests.sev.test_launch import LUKS

DEBIANS_PYTHON = "/usr/bin/python3"
"""Another one that comes first in the path lacks the packages that the tool needs."""

VALIDATE = shutil.which("virt-qemu-sev-validate")


def is_installed() -> bool:
    needs = [DEBIANS_PYTHON, "-c", "import cryptography, lxml"]
    return VALIDATE is not None and subprocess.run(needs, check=False).returncode == 0


pytestmark = pytest.mark.skipif(
    not is_installed(),
    reason="needs libvirt-clients-qemu, python3-lxml and python3-cryptography of Debian",
)

KERNEL, INITRD, COMMAND_LINE = b"a kernel", b"an initrd", "console=ttyS0"
SEV = int(PolicyFlag.NODBG | PolicyFlag.NOKS)
SEV_ES = SEV | int(PolicyFlag.ES)
MILAN = {"cpu-family": "25", "cpu-model": "1", "cpu-stepping": "1", "num-cpus": "2"}


def validate(options: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    assert VALIDATE is not None
    written = [word for name, value in options.items() for word in (f"--{name}", value)]
    return subprocess.run(
        [DEBIANS_PYTHON, VALIDATE, *written],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def told(folder: Path, launch: Launch, blob: bytes) -> dict[str, str]:
    """What that tool has to be told of a launch."""
    contents = {"firmware": images.firmware(), "kernel": KERNEL, "initrd": INITRD}
    contents["tk"] = launch.tek + launch.tik
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    major, minor, build = map(str, launch.version)
    return {
        **{name: str(folder / name) for name in contents},
        "api-major": major,
        "api-minor": minor,
        "build-id": build,
        "policy": str(launch.policy),
        "measurement": base64.b64encode(blob).decode(),
        "cmdline": COMMAND_LINE,
    }


def digest_of(policy: int) -> bytes:
    boot = direct_boot(KERNEL, INITRD, COMMAND_LINE)
    if policy & PolicyFlag.ES:
        return sev_es_digest(images.firmware(), boot, Cpus(2, "EPYC-Milan"), VmsaVariant.LEGACY)
    return sev_digest(images.firmware(), boot)


@pytest.mark.parametrize(("policy", "cpus"), [(SEV, {}), (SEV_ES, MILAN)], ids=["sev", "sev-es"])
def test_it_accepts_what_we_accept_and_refuses_another_command_line(
    policy: int, cpus: dict[str, str], chip: Chip, tmp_path: Path
) -> None:
    session = new_session(chip.pdh_key.public_key(), policy)
    launch = start(chip, session.blob, session.certificate, policy)
    blob = launch.measure(digest_of(policy))
    evidence = Evidence(parse_measurement(blob), FirmwareVersion(*launch.version), policy)
    demands = Demands(policy, PolicyFlag.NODBG, FirmwareVersion(1, 0, 0), (digest_of(policy),))
    verify_launch(evidence, demands, session.keys.tik)

    options = {**told(tmp_path, launch, blob), **cpus}
    accepted, refused = validate(options), validate({**options, "cmdline": "init=/bin/sh"})

    assert (accepted.returncode, accepted.stdout) == (0, "OK: Looks good to me\n")
    assert (refused.returncode, refused.stdout) == (1, "")


def test_its_secret_packet_is_in_the_format_of_ours(chip: Chip, tmp_path: Path) -> None:
    session = new_session(chip.pdh_key.public_key(), SEV)
    launch = start(chip, session.blob, session.certificate, SEV)
    blob = launch.measure(digest_of(SEV))
    (tmp_path / "disk.key").write_bytes(b"swordfish")
    options = {
        **told(tmp_path, launch, blob),
        "inject-secret": f"luks-key:{tmp_path / 'disk.key'}",
        "secret-header": str(tmp_path / "header"),
        "secret-payload": str(tmp_path / "payload"),
    }
    sealed = validate(options)
    assert sealed.returncode == 0, sealed.stderr

    header, payload = (
        base64.b64decode((tmp_path / name).read_bytes()) for name in ("header", "payload")
    )
    ours = seal(secret_table([Secret(LUKS, b"swordfish")]), session.keys, parse_measurement(blob))
    theirs = parse_secret_table(launch.take(header, payload))
    assert theirs == parse_secret_table(launch.take(ours.header, ours.ciphertext))
    assert theirs == [Secret(LUKS, b"swordfish")]
