"""What QEMU says of a failed start, as people can understand it."""

import signal
from pathlib import Path

import pytest
import trio

from supervisor.host.last_words import exit_evidence
from supervisor.host.spawn import spawn
from supervisor.vm.observations import ExitEvidence
from supervisor.vm.start_failures import CAUSES, cause_of, explain, in_plain_words

REAL_QEMU = "/usr/bin/qemu-system-x86_64"
PATIENCE_S = 120
"""It ends in a blink; a loaded machine may take its time, and longer where it keeps a core."""


@pytest.mark.parametrize(
    ("stderr", "says"),
    [
        ("sev_kvm_init: Failed to open /dev/sev 'Permission denied'", "access to /dev/sev"),
        ("cbitpos check failed, host '51' requested '47'", "another processor"),
        ("cbitpos check failed, host '0' requested '51'", "no SEV"),
        ("LAUNCH_START ret=1 fw_error=11 'Bad measurement'", "make a new one"),
        ("LAUNCH_START ret=1 fw_error=7 'Policy Failure'", "refused the policy"),
        ("LAUNCH_START ret=1 fw_error=6 'Invalid certificate'", "certificate"),
        ("SEV: guest firmware hashes table area is invalid (base=0x0 size=0x0)", "AmdSev"),
        ("Parameter 'reduced-phys-bits' is missing", "address bits"),
        ("Assertion `machine->cgs->ready' failed.", "software emulation"),
        ("accelerator does not support confidential guest sev-guest", "software emulation"),
        ("Parameter 'qom-type' does not accept value 'sev-snp-guest'", "9.1 or later"),
        ("invalid object type: sev-snp-guest", "9.1 or later"),
        ("Could not access KVM kernel module: No such file or directory", "KVM cannot be used"),
    ],
)
def test_a_known_failure_is_told_with_what_to_do_and_in_qemus_own_words(
    stderr: str, says: str
) -> None:
    noise = "qemu-system-x86_64: failed to initialize kvm: Operation not permitted"
    told = explain(ExitEvidence(exit_code=1, stderr=f"qemu-system-x86_64: {stderr}\n{noise}\n"))
    assert says in told
    assert told.endswith(f"(QEMU exited with status 1: qemu-system-x86_64: {stderr})")


@pytest.mark.parametrize(
    ("sentence", "says"),
    [
        ("KVM not enabled", "/dev/kvm"),
        ("SEV is not enabled in KVM", "kvm_amd with sev=1"),
        ("SEV is not available in this QEMU", "built"),
        ("SEV launch measurement is not available", "not been measured"),
        ("SEV not enabled for guest", "not confidential"),
        ("SEV: Not in correct state. (LSECRET) 3", "does not wait for a secret"),
        ("SEV: failed to inject secret ret=-5 fw_error=11 'Bad measurement'", "seal it"),
        ("SEV: no secret area found in OVMF, gpa must be specified.", "no place for a secret"),
    ],
)
def test_a_known_refusal_is_told_in_plain_words_too(sentence: str, says: str) -> None:
    assert says in in_plain_words(sentence)
    assert in_plain_words(sentence).endswith(f"({sentence})")


@pytest.mark.parametrize(
    ("evidence", "told"),
    [
        (ExitEvidence(exit_code=1, stderr="a\nb\n"), "QEMU exited with status 1: b"),
        (ExitEvidence(signal=9), "QEMU was ended by signal 9"),
        (ExitEvidence(), "QEMU exited while nobody was there to learn how"),
    ],
)
def test_what_is_not_known_is_told_as_it_was_said(evidence: ExitEvidence, told: str) -> None:
    assert explain(evidence) == told


def test_every_row_can_be_reached() -> None:
    shadowed = [part for part, cause in CAUSES if cause_of(part) is not cause]
    assert shadowed == []


@pytest.mark.qemu
@pytest.mark.parametrize(
    ("kind", "says"),
    [("sev-guest", "software emulation"), ("sev-snp-guest", "QEMU 9.1 or later")],
)
async def test_a_real_qemu_without_sev_dies_of_what_is_understood(
    tmp_path: Path, kind: str, says: str
) -> None:
    guest = f'{{"qom-type":"{kind}","id":"sev0","cbitpos":51,"reduced-phys-bits":1}}'
    machine = "q35,accel=tcg,confidential-guest-support=sev0"
    argv = (REAL_QEMU, "-machine", machine, "-object", guest, "-S", "-nodefaults")
    process = spawn(tmp_path, (*argv, "-display", "none"), "boot")
    with trio.fail_after(PATIENCE_S):
        status = await process.wait_exited()
    process.close()
    if kind == "sev-guest":
        # Since QEMU 10.0 it refuses, and says why.
        assert status.signal == signal.SIGABRT or status.exit_code == 1
    assert says in explain(exit_evidence(status, tmp_path))
