"""The reference guest in a real QEMU, against docs/agent-protocol.md."""

from pathlib import Path

import pytest

from tests.guest.scripted_host import LAUNCH, SECTOR, Job, Message, booted

pytestmark = [pytest.mark.qemu, pytest.mark.guest]

HELLO = b"""#!/bin/sh
echo 0.5 half way >"$CHRONOVISOR_PROGRESS"
printf '%s|' "$#" "$@"; echo
echo "$PWD $CHRONOVISOR_VM_ID $CHRONOVISOR_LAUNCH"
printf 'tab\\tquote"back\\\\slash \\303\\251 bad\\377\\001\\n' >&2
printf 'no newline' >&2
ls >results/ls
cat "$CHRONOVISOR_DATASETS/a" datasets/b >"$CHRONOVISOR_RESULTS/both"
exit 3
"""


def _new(messages: list[Message]) -> list[Message]:
    return [m for n, m in enumerate(messages) if m not in messages[:n]]


@pytest.mark.parametrize("machine", ["q35", "pc"])
async def test_a_script_runs_with_its_inputs_and_its_results_are_on_the_disk(
    guest_dir: Path, machine: str
) -> None:
    arguments = [b"one two", b"ends\n", b"", b"*"]
    job = Job(HELLO, arguments, {"a": b"\0\1", "b": b"\2"}, machine=machine)
    async with booted(guest_dir, job) as guest:
        await guest.start()
        finished = await guest.finish()
        assert finished["exit_code"] == 3
        assert finished["error"] == finished["message"] == ""
        new = _new(guest.messages)
        assert [m["seq"] for m in new] == list(range(1, len(new) + 1))
        assert {m["launch"] for m in new} == {LAUNCH}
        assert new[-1] == finished
        header = guest.header()
        assert (header.launch, header.exit_code, header.error) == (LAUNCH, 3, "")
        assert header.length == finished["length"]
        result = guest.result()
        assert set(result) == {"results/ls", "results/both", "stdout", "stderr"}
        assert result["results/both"] == b"\0\1\2"
        assert result["results/ls"] == b"datasets\nresults\n"
        assert result["stdout"].startswith(b"4|one two|ends\n||*|\n/job/work vm-1 7\n")
        assert result["stderr"] == b'tab\tquote"back\\slash \xc3\xa9 bad\xff\x01\nno newline'
        assert guest.logged("stdout") == ["4|one two|ends", "||*|", "/job/work vm-1 7"]
        # The é is not kept where other bytes of the line are no UTF-8.
        assert guest.logged("stderr") == ['tab\tquote"back\\slash ?? bad??', "no newline"]
        progress = [m for m in new if m["type"] == "progress"]
        assert [(m["fraction"], m["message"]) for m in progress] == [(0.5, "half way")]


async def test_the_last_progress_is_told_though_its_line_was_not_ended(guest_dir: Path) -> None:
    says = b"not yet\n\n2\n0.25 begun\n1.5 too far\n-1\n0.75 as good as"
    algorithm = b"#!/bin/sh\nprintf '%s' >\"$CHRONOVISOR_PROGRESS\"\n" % says
    async with booted(guest_dir, Job(algorithm)) as guest:
        await guest.start()
        await guest.finish()
        progress = [(m["fraction"], m["message"]) for m in guest.messages if "fraction" in m]
        assert progress[-1] == (0.75, "as good as")
        assert set(progress) <= {(0.25, "begun"), (0.75, "as good as")}


async def test_no_word_of_an_algorithm_ends_its_progress(guest_dir: Path) -> None:
    algorithm = (
        b"#!/bin/sh\nprintf '0.5 begun\\nend\\n\\n.\\n1 over\\n' >\"$CHRONOVISOR_PROGRESS\"\n"
    )
    async with booted(guest_dir, Job(algorithm)) as guest:
        await guest.start()
        await guest.finish()
        progress = [(m["fraction"], m["message"]) for m in guest.messages if "fraction" in m]
        assert progress[-1] == (1, "over")


PYTHON = b"""#!/usr/bin/env python3
import importlib, pathlib, sys, sysconfig
modules = pathlib.Path(sysconfig.get_path("platstdlib"), "lib-dynload").glob("*.so")
for name in sorted(path.name.split(".")[0] for path in modules):
    importlib.import_module(name)
import asyncio, json, sqlite3, ssl, statistics, zoneinfo
print(json.dumps({"\\u00e9": sys.argv[1:]}, ensure_ascii=False))
"""


async def test_python_runs_with_every_module_of_its_standard_library(guest_dir: Path) -> None:
    async with booted(guest_dir, Job(PYTHON, [b"1"], python=True)) as guest:
        await guest.start()
        assert (await guest.finish())["exit_code"] == 0, guest.logged("stderr")
        assert guest.logged("stdout") == ['{"é": ["1"]}']


@pytest.mark.parametrize(
    ("job", "error", "says"),
    [
        (Job(PYTHON), "no-python", "no python3 in this guest: add the python layer"),
        (Job(b"plain text\n"), "bad-algorithm", "neither a script"),
        (Job(b"", inputs=b"\xff" * 4096), "bad-inputs", "job/launch"),
        (Job(b"", inputs=Job(HELLO, [b"x" * 9999]).disk()[:4096]), "bad-inputs", "unpacking"),
    ],
    ids=lambda value: value if isinstance(value, str) and "-" in value else "",
)
async def test_what_cannot_run_is_finished_at_once_with_the_reason(
    guest_dir: Path, job: Job, error: str, says: str
) -> None:
    async with booted(guest_dir, job) as guest:
        finished = await guest.finish()
        assert finished["error"] == error
        assert says in finished["message"]
        assert (finished["exit_code"], finished["length"]) == (127, 0)
        assert [m["type"] for m in _new(guest.messages)] == ["finished"]
        header = guest.header()
        assert (header.length, header.exit_code, header.error) == (0, 127, error)


# More output than pipe and socket hold together: a computation that waits for the host would hang.
CHATTY = b"""#!/bin/sh
seq 1 20000
echo done >results/done
echo the computation is over >/dev/console
"""


async def test_a_computation_goes_on_without_its_host_and_finished_is_not_lost(
    guest_dir: Path,
) -> None:
    async with booted(guest_dir, Job(CHATTY)) as guest:
        await guest.receive("ready")
        await guest.console.connect()  # before the computation can say that it is over
        await guest.order("start")
        await guest.receive("started")
        await guest.agent.disconnect()
        while b"the computation is over" not in await guest.console.receive_line():
            pass
        await guest.agent.connect()
        finished = await guest.receive("finished")
        assert await guest.agent.receive() == finished
        await guest.agent.disconnect()
        await guest.agent.connect()
        assert await guest.finish() == finished
        assert finished["exit_code"] == 0
        assert guest.result()["results/done"] == b"done\n"
        assert len(guest.result()["stdout"].splitlines()) == 20000


async def test_ready_comes_every_second_and_start_may_be_repeated(guest_dir: Path) -> None:
    algorithm = b"#!/bin/sh\necho ran\nread line <results/never 2>/dev/null; sleep 1.5\n"
    async with booted(guest_dir, Job(algorithm)) as guest:
        ready = await guest.receive("ready")
        assert await guest.receive("ready") == ready
        for _ in range(3):
            await guest.order("start")
        started = await guest.receive("started")
        assert await guest.receive("started") == started
        await guest.acknowledge(started)
        await guest.order("start")
        await guest.finish()
        assert guest.logged("stdout") == ["ran"]
        assert guest.result()["stdout"] == b"ran\n"


@pytest.mark.parametrize(
    ("on_term", "exit_code"), [(b"exit 5", 5), (b":", 137)], ids=["obeys", "ignores"]
)
async def test_a_stop_ends_the_whole_group(guest_dir: Path, on_term: bytes, exit_code: int) -> None:
    script = b"#!/bin/sh\ntrap '%s' TERM\nsleep 999 &\necho begun\n" % on_term
    async with booted(guest_dir, Job(script + b"while :; do wait; done\n")) as guest:
        await guest.start()
        await guest.receive("log")
        await guest.order("stop")
        await guest.order("stop")
        finished = await guest.finish()
        assert (finished["exit_code"], finished["error"]) == (exit_code, "")
        assert guest.result()["stdout"] == b"begun\n"


async def test_a_stop_before_the_start_means_that_nothing_runs(guest_dir: Path) -> None:
    async with booted(guest_dir, Job(HELLO)) as guest:
        await guest.receive("ready")
        await guest.order("stop")
        await guest.order("start")
        finished = await guest.finish()
        assert (finished["exit_code"], finished["error"]) == (143, "not-started")
        assert guest.header().error == "not-started"
        assert [m["type"] for m in _new(guest.messages)] == ["ready", "finished"]


async def test_results_that_do_not_fit_are_none(guest_dir: Path) -> None:
    algorithm = b"#!/bin/sh\nhead -c 300000 /dev/zero >results/zeros\nexit 4\n"
    async with booted(guest_dir, Job(algorithm, result_bytes=256 * SECTOR)) as guest:
        await guest.start()
        finished = await guest.finish()
        assert (finished["exit_code"], finished["length"]) == (4, 0)
        assert finished["error"] == "result-too-large"
        header = guest.header()
        assert (header.length, header.exit_code, header.error) == (0, 4, "result-too-large")


async def test_output_is_kept_up_to_a_mebibyte(guest_dir: Path) -> None:
    algorithm = b"#!/bin/sh\nhead -c 3000000 /dev/zero\nhead -c 1048576 /dev/zero >&2\n"
    async with booted(guest_dir, Job(algorithm, result_bytes=4 << 20)) as guest:
        await guest.start()
        assert (await guest.finish())["exit_code"] == 0
        result = guest.result()
        assert result["stdout"] == bytes(1 << 20) + b"\n[chronovisor: stdout was cut here]\n"
        assert result["stderr"] == bytes(1 << 20)


async def test_what_is_no_message_of_this_launch_is_ignored(guest_dir: Path) -> None:
    async with booted(guest_dir, Job(b"#!/bin/sh\necho ran\n")) as guest:
        ready = await guest.receive("ready")
        await guest.agent.send_bytes(bytes(range(256)) * 64 + b"\n")
        await guest.agent.send_bytes(b"x" * 100_000 + b"\n\n{}\n[]\n{\n")
        start = {"v": 1, "type": "start", "launch": LAUNCH}
        for wrong in ({"launch": LAUNCH + 1}, {"v": 2}, {"type": "explode"}, {"launch": "x"}):
            await guest.agent.send(start | wrong)
        assert await guest.receive("ready") == ready
        assert await guest.receive("ready") == ready
        await guest.agent.send_bytes(b'{ "launch" : 7, "new": "field", "type": "start", "v": 1 }\n')
        assert (await guest.finish())["exit_code"] == 0


async def test_a_panic_is_seen_and_pauses_the_machine(guest_dir: Path) -> None:
    algorithm = b"#!/bin/sh\necho c >/proc/sysrq-trigger\n"
    async with booted(guest_dir, Job(algorithm)) as guest:
        await guest.receive("ready")
        await guest.order("start")
        assert (await guest.event("GUEST_PANICKED"))["data"]["action"] == "pause"


async def test_processes_that_escape_do_not_keep_the_computation_open(guest_dir: Path) -> None:
    algorithm = b"#!/bin/sh\nsetsid sleep 999 &\nsleep 998 &\necho left\n"
    async with booted(guest_dir, Job(algorithm)) as guest:
        await guest.start()
        assert (await guest.finish())["exit_code"] == 0
        assert guest.result()["stdout"] == b"left\n"


async def test_a_computation_that_eats_all_memory_is_killed_and_not_its_agent(
    guest_dir: Path,
) -> None:
    algorithm = b"#!/usr/bin/python3\nhoard = []\nwhile True:\n    hoard.append(b'x' * 1_000_000)\n"
    async with booted(guest_dir, Job(algorithm, python=True)) as guest:
        await guest.start()
        finished = await guest.finish()
        assert (finished["exit_code"], finished["error"]) == (137, "")
