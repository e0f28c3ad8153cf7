"""Asking what the secure processor is: a real QEMU's refusals, a simulated answer, and the end."""

import json
import os
import shlex
from pathlib import Path

import pytest
import trio
import trio.testing
from chronovisor_sev.installing import install

from supervisor.host.facts import read_facts
from supervisor.host.platform import Platform, Unavailable, read_platform
from supervisor.vm.confidential import SevPlatform

VERSION = {"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": ""}
GREETING = {"QMP": {"version": VERSION, "capabilities": []}}


def program(directory: Path, script: str) -> str:
    """Write something in QEMU's place, which leaves its PID behind."""
    path = directory / "qemu"
    path.write_text(f"#!/bin/sh\necho $$ >{shlex.quote(str(directory / 'pid'))}\n{script}\n")
    path.chmod(0o755)
    return str(path)


def says(seen: Platform | Unavailable) -> str:
    assert isinstance(seen, Unavailable)
    return seen.why


@pytest.mark.qemu
@pytest.mark.skipif(Path("/dev/sev").exists(), reason="this host has SEV")
async def test_a_real_qemu_on_a_host_without_sev_says_why_in_plain_words() -> None:
    why = says(await read_platform(read_facts().qemu))
    assert "KVM" in why
    assert "(SEV is not enabled in KVM)" in why or "(Could not access KVM" in why


async def test_a_processor_is_told_with_its_certificates(tmp_path: Path) -> None:
    (tmp_path / "platform").mkdir()
    seen = await read_platform(str(install(tmp_path, tmp_path / "platform")))
    assert isinstance(seen, Platform)
    assert seen.for_qemu == SevPlatform(seen.cbitpos, seen.reduced_phys_bits)
    assert seen.cbitpos > 0
    assert seen.pdh


async def test_a_qemu_that_is_missing_is_told_apart() -> None:
    assert "not installed" in says(await read_platform(""))
    assert "cannot be started" in says(await read_platform("/nonexistent/qemu"))


async def test_kvm_that_is_missing_is_named(tmp_path: Path) -> None:
    words = "Could not access KVM kernel module: No such file or directory"
    noise = "qemu: failed to initialize kvm: No such file or directory"
    script = f"echo 'qemu: {words}' >&2; echo '{noise}' >&2; exit 1"
    why = says(await read_platform(program(tmp_path, script)))
    assert "KVM cannot be used" in why
    assert words in why


async def test_a_qemu_that_never_answers_is_ended_at_the_deadline(
    tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    qemu = program(tmp_path, "exec sleep 600")
    pid, seen = tmp_path / "pid", list[Platform | Unavailable]()

    async def read() -> None:
        seen.append(await read_platform(qemu, deadline_s=0.2))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        while not pid.exists() or not pid.read_text():
            await trio.testing.wait_all_tasks_blocked(0.001)
        assert seen == []
        mock_clock.jump(0.2)
    assert "within 0.2 s" in says(seen[0])
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)  # not even a zombie


NO_BASE64 = '{"pdh":"AAA","cert-chain":"AAAA","cpu0-id":"AAAA","cbitpos":1,"reduced-phys-bits":1}'


@pytest.mark.parametrize("answer", ["[]", '{"pdh":1}', '{"pdh":"","cbitpos":1}', NO_BASE64])
async def test_an_answer_that_is_none_is_no_platform(tmp_path: Path, answer: str) -> None:
    lines = (GREETING, {"return": {}, "id": 1}, {"return": json.loads(answer), "id": 2})
    say = [f"echo {shlex.quote(json.dumps(line))}" for line in lines]
    script = "; read -r request; ".join(say)
    why = says(await read_platform(program(tmp_path, script), deadline_s=60))
    assert "cannot be understood" in why
