"""Every example of docs/fault-injection.md, against a real daemon and a real QEMU."""

import json
import re
import signal
from pathlib import Path

import pytest

from tests.e2e.conftest import Manifests
from tests.e2e.daemon_process import COMMAND_S, Daemon, Json
from tests.source_tree import ROOT

pytestmark = pytest.mark.guest

PAGE = (ROOT / "docs" / "fault-injection.md").read_text()
EXAMPLES = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
SHORT = "[limits]\nstop_grace = '1s'\n"


def example(table: str, word: str = "") -> str:
    """Return the page's example of this kind."""
    (found,) = [each for each in EXAMPLES if f"[[{table}]]" in each and word in each]
    return str(found)


def start(daemon: Daemon, plan: str) -> None:
    file = daemon.state_dir.parent / "plan.toml"
    file.write_text(plan)
    daemon.start("--fault-plan", str(file))


def types(daemon: Daemon, vm_id: str) -> list[str]:
    return [event["type"] for event in daemon.events("--vm", vm_id)]


def ended(daemon: Daemon, manifest: Path) -> Json:
    return daemon.submit(manifest, "--wait", codes=(0, 1))


def test_the_page_has_no_example_that_is_not_tried_here() -> None:
    assert len(EXAMPLES) == 10


def test_a_plan_is_shouted_at_the_start_and_stands_in_the_log(stopped_daemon: Daemon) -> None:
    daemon = stopped_daemon
    start(daemon, example("refuse_qmp"))
    told = next(e for e in daemon.events() if e["type"] == "host.fault-plan-loaded.v1")
    assert told["data"]["digest"] == daemon.ready["fault_plan"]
    assert told["data"]["faults"] == ["QMP command cont is refused (number 1)"]
    assert daemon.end() == 0
    said = daemon.stderr()
    assert "WARNING" in said
    assert "Never use it for real work" in said
    assert "never happened: QMP command cont is refused" in said


def test_a_wrong_plan_names_each_field_and_what_it_takes(stopped_daemon: Daemon) -> None:
    plan = stopped_daemon.state_dir.parent / "plan.toml"
    plan.write_text('[[delay_qmp]]\ncommand = "cont"\nby = 2\n[[fail_append]]\nerror = "EIOO"\n')
    code, said = stopped_daemon.serve_and_fail("--fault-plan", str(plan))
    assert code == 7
    assert "delay_qmp[0].by: got 2; it takes a duration" in said
    assert 'fail_append[0].error: got "EIOO"; it takes "EIO", "ENOSPC"' in said
    assert not stopped_daemon.state_dir.exists()


def test_a_refused_cont_fails_the_launch_and_says_why(
    stopped_daemon: Daemon, manifests: Manifests
) -> None:
    start(stopped_daemon, example("refuse_qmp"))
    vm = ended(stopped_daemon, manifests.shell("true", SHORT))
    assert vm["outcome"] == "qemu-failed-to-start"
    failed = stopped_daemon.wait_for(vm["vm_id"], "vm.qmp-command-failed.v1")
    assert failed["data"]["detail"] == "refused by the fault plan"


@pytest.mark.parametrize(
    "example_of", ["delay_qmp", "stall_agent"], ids=["a slow QEMU", "a silent agent"]
)
def test_what_is_late_comes_all_the_same(
    stopped_daemon: Daemon, manifests: Manifests, example_of: str
) -> None:
    start(stopped_daemon, example(example_of))
    assert ended(stopped_daemon, manifests.shell("true"))["outcome"] == "completed"
    stopped_daemon.end()
    assert "never happened" not in stopped_daemon.stderr()


def test_a_dropped_cont_is_given_up(stopped_daemon: Daemon, manifests: Manifests) -> None:
    start(stopped_daemon, example("drop_qmp"))
    vm_id = stopped_daemon.submit(manifests.shell("true", SHORT))["vm_id"]
    failed = stopped_daemon.wait_for(vm_id, "vm.qmp-command-failed.v1")
    assert "cont" in failed["data"]["detail"]


def test_a_qemu_that_talks_nonsense_once_is_proven_again(
    stopped_daemon: Daemon, manifests: Manifests
) -> None:
    start(stopped_daemon, example("corrupt_qmp"))
    vm_id = stopped_daemon.submit(manifests.shell("true"))["vm_id"]
    stopped_daemon.wait_for(vm_id, "vm.contact-lost.v1")
    ended_as = stopped_daemon.wait_for(vm_id, "vm.stopped.v1")
    assert ended_as["data"]["outcome"] == "completed"


def test_a_bug_that_is_met_once_is_survived(stopped_daemon: Daemon, manifests: Manifests) -> None:
    start(stopped_daemon, example("crash_actor_at_effect"))
    vm = ended(stopped_daemon, manifests.shell("true"))
    assert (vm["outcome"], vm["launch"]) == ("completed", 1)
    assert "crashed and is restarted from its log" in stopped_daemon.stderr()


def test_a_qemu_that_dies_is_a_crash(stopped_daemon: Daemon, manifests: Manifests) -> None:
    start(stopped_daemon, example("kill_qemu_at_effect"))
    vm = ended(stopped_daemon, manifests.shell("sleep 100"))
    assert (vm["outcome"], vm["detail"]) == ("qemu-crashed", "QEMU was ended by signal 9")


def test_a_failed_append_ends_the_daemon_and_the_next_one_goes_on(
    stopped_daemon: Daemon, manifests: Manifests
) -> None:
    daemon = stopped_daemon
    start(daemon, example("fail_append"))
    vm_id = daemon.submit(manifests.shell("true"))["vm_id"]
    assert daemon.wait() not in (0, -signal.SIGKILL)
    assert "Input/output error" in daemon.stderr()
    daemon.start()
    daemon.wait_for(vm_id, "vm.stopped.v1")
    assert types(daemon, vm_id).count("vm.qemu-spawned.v1") == 1


@pytest.mark.fault("orphan-after-spawn")
def test_a_qemu_that_nobody_recorded_is_found(stopped_daemon: Daemon, manifests: Manifests) -> None:
    daemon = stopped_daemon
    start(daemon, example("kill_daemon_at_effect"))
    vm_id = daemon.submit(manifests.shell("true"))["vm_id"]
    assert daemon.wait() == -signal.SIGKILL
    daemon.start()
    daemon.wait_for(vm_id, "vm.stopped.v1")
    assert types(daemon, vm_id).count("vm.adopted.v1") == 1
    assert daemon.json("show", vm_id)["launch"] == 1


def test_a_durable_acceptance_that_was_not_answered_is_found_by_its_key(
    stopped_daemon: Daemon, manifests: Manifests
) -> None:
    daemon = stopped_daemon
    start(daemon, example("kill_daemon_at_append"))
    with daemon.begin("submit", manifests.shell("true"), "--json") as client:
        assert daemon.wait() == -signal.SIGKILL
        daemon.start()
        answered, _ = client.communicate(timeout=COMMAND_S)
    (vm,) = daemon.json("list")["vms"]
    assert json.loads(answered)["vm_id"] == vm["vm_id"]
