"""Debian's virt-qemu-sev-validate judges what the daemon tells of a launch."""

import base64
from pathlib import Path

import pytest

from tests.e2e.daemon_process import Json
from tests.e2e.sev_owner import COMMAND_LINE, Owner
from tests.sev.test_other_tools import is_installed, validate

pytestmark = [
    pytest.mark.guest,
    pytest.mark.skipif(
        not is_installed(),
        reason="needs libvirt-clients-qemu, python3-lxml and python3-cryptography of Debian",
    ),
]

KIND = 'kind = "sev"\npolicy = "nodbg,noks"'
SEV_ES = 'kind = "sev-es"\npolicy = "nodbg,noks,es"\nvmsa_variant = "legacy"'
CPU = {"cpu-family": "cpu family", "cpu-model": "model", "cpu-stepping": "stepping"}


def told(owner: Owner, measured: Json) -> dict[str, str]:
    """What that tool has to be told of a launch."""
    evidence = measured["data"]["evidence"]
    directory = owner.directory
    return {
        "firmware": str(directory / "firmware.fd"),
        "kernel": str(directory / "vmlinuz"),
        "initrd": str(directory / "initrd.cpio"),
        "cmdline": COMMAND_LINE,
        "tk": str(directory / "launch-1" / "tk.bin"),
        "api-major": str(evidence["api_major"]),
        "api-minor": str(evidence["api_minor"]),
        "build-id": str(evidence["build"]),
        "policy": str(evidence["policy"]),
        "measurement": evidence["measurement"],
    }


def host_cpu() -> dict[str, str]:
    """What a guest's CPU starts as: the host's own."""
    lines = (line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines())
    known = {name.strip(): value.strip() for name, _, value in lines}
    return {option: known[name] for option, name in CPU.items()} | {"num-cpus": "1"}


@pytest.mark.parametrize("kind", [KIND, SEV_ES], ids=["sev", "sev-es"])
def test_it_accepts_the_launch_and_refuses_another_command_line(kind: str, owner: Owner) -> None:
    owner.session(policy="nodbg,noks,es" if kind is SEV_ES else "nodbg,noks")
    owner.submit("one", (KIND, kind))
    options = told(owner, owner.measured("one"))
    options |= host_cpu() if kind is SEV_ES else {}

    accepted, refused = validate(options), validate({**options, "cmdline": "init=/bin/sh"})

    assert (accepted.returncode, accepted.stdout) == (0, "OK: Looks good to me\n"), accepted.stderr
    assert (refused.returncode, refused.stdout) == (1, "")


def test_its_packet_goes_in_and_opens_the_data_set(owner: Owner) -> None:
    owner.session()
    owner.submit("one")
    measured = owner.measured("one")
    header, payload = owner.directory / "header", owner.directory / "payload"
    sealed = validate(
        {
            **told(owner, measured),
            "inject-secret": f"luks-key:{owner.directory / 'data.key'}",
            "secret-header": str(header),
            "secret-payload": str(payload),
        }
    )
    assert sealed.returncode == 0, sealed.stderr
    parts = [base64.b64decode(file.read_bytes()) for file in (header, payload)]

    refused = owner.inject("one", measured["data"]["evidence"]["measurement"], *parts)

    assert refused == ""
    owner.daemon.wait_for("one", "vm.stopped.v1")
    assert owner.report("one") == "8 patients, mean age 64.62 years\n"
