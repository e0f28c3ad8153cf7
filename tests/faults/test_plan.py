"""Reading a plan: what is right, and every reason why one is wrong."""

from pathlib import Path

import pytest
import trio.testing

from eventlog.storage import DiskStorage
from supervisor.faults.loading import EFFECTS, FILE_BYTES_MAX, PlanInvalid, load
from supervisor.faults.plan import Plan, describe
from supervisor.faults.seams import Faults, open_seams
from supervisor.host.interposing import Channel, direct
from tests.fakes import SilentHost
from tests.source_tree import ROOT

EVERY_KIND = """
[[delay_qmp]]
command = "cont"
by = "1.5s"
[[drop_qmp]]
command = "stop"
vm = "iris-1"
[[corrupt_qmp]]
command = "quit"
[[refuse_qmp]]
command = "query-uuid"
nth = 2
[[stall_agent]]
message = "finished"
by = "1m"
[[fail_append]]
error = "ENOSPC"
[[kill_daemon_at_append]]
at = "after-answer"
[[kill_daemon_at_effect]]
at = "before"
effect = "SpawnQemu"
[[kill_qemu_at_effect]]
at = "after"
effect = "CollectResult"
[[crash_actor_at_effect]]
effect = "RemoveFiles"
"""


def written(directory: Path, text: str) -> Path:
    file = directory / "plan.toml"
    file.write_text(text)
    return file


def test_every_kind_of_fault_is_read_and_told_in_words(tmp_path: Path) -> None:
    plan = load(written(tmp_path, EVERY_KIND)).plan
    assert [describe(fault) for fault in plan.faults()] == [
        "QMP command cont is delayed by 1s500ms (number 1)",
        "QMP command stop is dropped (number 1 of VM iris-1)",
        "the answer to QMP command quit is corrupted (number 1)",
        "QMP command query-uuid is refused (number 2)",
        "the agent's finished is held back for 1m (number 1)",
        "an append fails with ENOSPC (number 1)",
        "the daemon is killed after answer of an append (number 1)",
        "the daemon is killed before SpawnQemu (number 1)",
        "QEMU is killed after CollectResult (number 1)",
        "the VM's actor crashes in place of RemoveFiles (number 1)",
    ]
    assert len(Plan.__struct_fields__) == len(list(plan.faults()))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it holds no fault; it takes [[delay_qmp]], "),
        ("delay_qmp = []", "it holds no fault"),
        ("[[", "not TOML"),
        ("[[drop]]\n", 'drop: unknown field; did you mean "drop_qmp"?'),
        ("[drop_qmp]\n", "drop_qmp: got {}; it takes a list"),
        ("[[drop_qmp]]\n", "drop_qmp[0].command: missing; it takes a word"),
        ('[[drop_qmp]]\ncommand = ""', 'drop_qmp[0].command: got ""; it takes a word'),
        ('[[drop_qmp]]\ncommand = "cont"\nnth = 0', "drop_qmp[0].nth: got 0; it takes a whole"),
        ('[[drop_qmp]]\ncommand = "cont"\nnth = true', "drop_qmp[0].nth: got true"),
        ('[[delay_qmp]]\ncommand = "cont"\nby = "2"', 'got "2"; it takes a duration such as'),
        ('[[delay_qmp]]\ncommand = "cont"', "delay_qmp[0].by: missing; it takes a duration"),
        ('[[fail_append]]\nerror = "EIO"\nat = "x"', "fail_append[0].at: unknown field"),
        (
            '[[kill_daemon_at_append]]\nat = "before"',
            'kill_daemon_at_append[0].at: got "before"; it takes "before-write", "after-write"',
        ),
        (
            '[[kill_qemu_at_effect]]\nat = "before"\neffect = "Spawn"',
            "kill_qemu_at_effect[0].effect: got 'Spawn'; it takes one of AcknowledgeAgent, ",
        ),
        (
            '[[stall_agent]]\nby = "1s"\nmessage = "hello"',
            "stall_agent[0].message: got 'hello'; it takes one of ready, started",
        ),
    ],
)
def test_what_is_wrong_is_named_with_what_it_takes(tmp_path: Path, text: str, said: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(PlanInvalid) as caught:
        load(file)
    assert said in str(caught.value)
    assert all(line.startswith(f"{file}: ") for line in str(caught.value).splitlines())


def test_all_wrong_fields_are_told_at_once(tmp_path: Path) -> None:
    file = written(tmp_path, "[[drop_qmp]]\nnth = 0\n[[fail_append]]\nerror = 5\n")
    with pytest.raises(PlanInvalid) as caught:
        load(file)
    assert len(caught.value.violations) == 3


def test_a_file_that_cannot_be_a_plan_is_refused(tmp_path: Path) -> None:
    for content in (b"\xff", b"#" * (FILE_BYTES_MAX + 1)):
        (tmp_path / "plan.toml").write_bytes(content)
        with pytest.raises(PlanInvalid):
            load(tmp_path / "plan.toml")
    with pytest.raises(PlanInvalid, match="no such file"):
        load(tmp_path / "none")


def test_the_page_names_every_effect_and_every_kind() -> None:
    page = (ROOT / "docs" / "fault-injection.md").read_text()
    assert [effect for effect in EFFECTS if f"`{effect}`" not in page] == []
    assert [kind for kind in Plan.__struct_fields__ if f"`[[{kind}]]`" not in page] == []


def test_without_a_plan_nothing_is_wrapped() -> None:
    seams, host = open_seams(None), SilentHost()
    assert seams.storage is DiskStorage
    assert seams.interpose is direct
    assert seams.host("vm-1", host) is host
    assert seams.loaded == ()


async def test_a_fault_of_one_vm_counts_what_concerns_that_vm_only(tmp_path: Path) -> None:
    text = '[[drop_qmp]]\ncommand = "cont"\nvm = "b"\n'
    faults = Faults(load(written(tmp_path, text)).plan)
    arrived = []
    for vm_id in ("a", "b", "b"):
        ours, theirs = trio.testing.memory_stream_pair()
        directory = tmp_path / vm_id / "launch-1"
        stream = faults.interpose(Channel.QMP, directory, ours)
        await stream.send_all(b'{"execute": "cont", "id": 1}\n')
        await stream.aclose()
        arrived.append(bool(await theirs.receive_some()))
    assert arrived == [True, False, True]
