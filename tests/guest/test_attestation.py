"""Secrets and reports in the reference guest, which has no secure processor: as far as that goes.

The kernel's interfaces are played by the computation itself, or by a disk (SIMULATED).
"""

import base64
import shlex
from pathlib import Path
from uuid import UUID

import pytest

from supervisor.sev.secret import Secret, secret_table
from tests.guest.scripted_host import Job, booted

pytestmark = [pytest.mark.qemu, pytest.mark.guest]

FIRST = UUID("736869e5-84f0-4973-92ec-06879ce3da0b")
SECOND = UUID("00112233-4455-6677-8899-aabbccddeeff")
COPY = b"""#!/bin/sh
cd "$CHRONOVISOR_SECRETS" && ls -ld . | cut -c1-10 >/job/work/results/mode
cp "$CHRONOVISOR_SECRETS"/* /job/work/results/
ls "$CHRONOVISOR_JOB" >/job/work/results/job
"""


async def test_the_secrets_of_a_launch_are_files_of_the_computation(guest_dir: Path) -> None:
    content = bytes(range(256)) + b"\n\0end"
    table = secret_table([Secret(FIRST, content), Secret(SECOND, b"")])
    async with booted(guest_dir, Job(COPY, secret_table=table)) as guest:
        await guest.start()
        assert (await guest.finish())["exit_code"] == 0
        result = guest.result()
        assert result[f"results/{FIRST}"] == content
        assert result[f"results/{SECOND}"] == b""
        assert result["results/mode"] == b"drwx------\n"
        assert b"launch" in result["results/job"]


@pytest.mark.parametrize("damage", [b"", b"\xff\xff\xff\xff", b"\x13\0\0\0"])
async def test_a_damaged_table_gives_no_secret_and_keeps_nobody_from_going_on(
    guest_dir: Path, damage: bytes
) -> None:
    table = bytearray(secret_table([Secret(FIRST, b"secret")]))
    table[16 : 16 + len(damage)] = damage
    if not damage:
        table[0] ^= 1
    job = Job(b'#!/bin/sh\nls "$CHRONOVISOR_SECRETS"\n', secret_table=bytes(table))
    async with booted(guest_dir, job) as guest:
        await guest.start()
        assert (await guest.finish())["exit_code"] == 0
        assert guest.logged("stdout") == []


async def test_a_guest_without_a_secure_processor_says_that_it_has_no_report(
    guest_dir: Path,
) -> None:
    async with booted(guest_dir, Job(b"#!/bin/sh\n")) as guest:
        await guest.receive("ready")
        await guest.order("attest", nonce="00ff" * 32)
        report = await guest.receive("report")
        assert report["nonce"] == "00ff" * 32
        assert (report["error"], report["report"]) == ("unsupported", "")
        assert "kernel" in report["message"]


PLAYED = bytes(range(256)) * 4
PROCESSOR = f"""#!/bin/sh
mount -t tmpfs tmpfs /sys/kernel || exit 9
mkdir -p /sys/kernel/config/tsm/report/chronovisor
cd /sys/kernel/config/tsm/report/chronovisor || exit 8
echo {shlex.quote(base64.b64encode(PLAYED).decode())} | base64 -d >outblob
echo played
until [ -s inblob ]; do :; done
cp inblob /job/work/results/
""".encode()


async def test_a_report_is_made_for_the_nonce_and_handed_over_whole(guest_dir: Path) -> None:
    async with booted(guest_dir, Job(PROCESSOR)) as guest:
        await guest.start()
        while guest.logged("stdout") != ["played"]:
            await guest.receive("log")
        await guest.order("attest", nonce="00ff0a25")
        report = await guest.receive("report")
        assert (report["error"], report["nonce"]) == ("", "00ff0a25")
        assert base64.b64decode(report["report"]) == PLAYED
        assert (await guest.finish())["exit_code"] == 0
        assert guest.result()["results/inblob"] == bytes.fromhex("00ff0a25").ljust(64, b"\0")


async def test_what_is_no_nonce_is_ignored(guest_dir: Path) -> None:
    async with booted(guest_dir, Job(b"#!/bin/sh\n")) as guest:
        await guest.receive("ready")
        for nonce in ("0", "xy", "00" * 65, "$(poweroff)"):
            await guest.order("attest", nonce=nonce)
        await guest.order("attest", nonce="aa")
        assert (await guest.receive("report"))["nonce"] == "aa"
