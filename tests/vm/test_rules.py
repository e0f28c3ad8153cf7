"""The limits of a manifest: what is allowed, what is refused, and that nothing slips through."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.vm import qemu_argv, rules
from supervisor.vm.field_rules import VIOLATIONS
from supervisor.vm.guest_agent import ConsoleReady, OwnAgent
from supervisor.vm.ranges import DAY_MS
from supervisor.vm.spec import (
    GIB,
    HOUR_MS,
    KIB,
    MIB,
    Algorithm,
    ByDigest,
    ByName,
    Dataset,
    Forward,
    Limits,
    Manifest,
    Network,
    NetworkMode,
    RestartOn,
    RestartPolicy,
    VmShape,
)

DIGEST = "a" * 64
ALGORITHM = Algorithm(DIGEST)
SHARED = Algorithm(provider="p")
RESTRICTED = Network(NetworkMode.RESTRICTED)


def a_manifest(**changes: object) -> Manifest:
    return msgspec.structs.replace(Manifest("iris", ALGORITHM), **changes)


def fields(**changes: object) -> list[str]:
    return [wrong.field for wrong in rules.check(a_manifest(**changes))]


def test_the_defaults_are_allowed() -> None:
    assert rules.check(a_manifest()) == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "x" * 128},
        {"name": "Zwölf Boxkämpfer, 日本"},
        {"description": "two\nlines\tand a tab"},
        {"labels": {f"k{number}": "v" for number in range(64)}},
        {"labels": {"example.org/team": "red_1.x-Y", "empty": ""}},
        {"algorithm": Algorithm(DIGEST, "someone", ("--flag", "", "ä\n'\"\\"))},
        {"datasets": tuple(Dataset(f"d{number}.csv", DIGEST) for number in range(64))},
        {"datasets": (Dataset("...", DIGEST), Dataset(".hidden", DIGEST), Dataset("a b", DIGEST))},
        {"vm": VmShape(cpus=64, memory_bytes=4096 * GIB, firmware=ByDigest(DIGEST))},
        {"vm": VmShape(memory_bytes=64 * MIB, initrd=(ByName("a"),) * 16)},
        {"vm": VmShape(command_line="x" * 2000)},
        {"limits": Limits(1000, 1000, 0, KIB, 4 * KIB)},
        {"limits": Limits(30 * 86_400_000, 3_600_000, 600_000, 64 * GIB, GIB)},
        {"restart": RestartPolicy(RestartOn.ALWAYS, 1, 10_000, 100, 100)},
        {"limits": Limits(inputs_deadline_ms=30 * DAY_MS)},
        {"algorithm": SHARED, "datasets": (Dataset("d", provider="p"),)},
        {"algorithm": SHARED, "datasets": (Dataset("algorithm", provider="q"),)},
        {"algorithm": Algorithm(DIGEST, "p"), "datasets": (Dataset("algorithm", provider="p"),)},
        {"result_consumers": tuple(f"uid:{number}" for number in range(16))},
        {"agent": OwnAgent(), "network": RESTRICTED, "algorithm": Algorithm()},
        {"agent": OwnAgent(None, ConsoleReady("*login: [0-9]")), "algorithm": Algorithm()},
        {
            "agent": OwnAgent(16),
            "network": Network(NetworkMode.USER, tuple(Forward(port) for port in range(1, 17))),
        },
        {"restart": RestartPolicy(RestartOn.FAILURE, 100, 30 * DAY_MS, HOUR_MS, DAY_MS)},
    ],
)
def test_what_lies_within_the_limits_is_allowed(changes: dict[str, object]) -> None:
    assert fields(**changes) == []


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 129}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "a\x1b[31m"}, "name"),
        ({"name": "a\u202eb"}, "name"),
        ({"name": "a\ud800"}, "name"),
        ({"description": "x" * 4097}, "description"),
        ({"restart": RestartPolicy(max_restarts=0)}, "restart.max_restarts"),
        ({"restart": RestartPolicy(max_restarts=101)}, "restart.max_restarts"),
        ({"restart": RestartPolicy(period_ms=9_999)}, "restart.period_ms"),
        ({"restart": RestartPolicy(period_ms=30 * DAY_MS + 1)}, "restart.period_ms"),
        ({"restart": RestartPolicy(backoff_ms=99)}, "restart.backoff_ms"),
        ({"restart": RestartPolicy(backoff_ms=HOUR_MS + 1)}, "restart.backoff_ms"),
        ({"restart": RestartPolicy(backoff_max_ms=99)}, "restart.backoff_max_ms"),
        ({"restart": RestartPolicy(backoff_max_ms=DAY_MS + 1)}, "restart.backoff_max_ms"),
        ({"description": "\0"}, "description"),
        ({"description": "\udfff"}, "description"),
        ({"labels": {f"k{number}": "v" for number in range(65)}}, "labels"),
        ({"labels": {"": "v"}}, "labels"),
        ({"labels": {"-a": "v"}}, "labels"),
        ({"labels": {"a" * 64: "v"}}, "labels"),
        ({"labels": {"/a": "v"}}, "labels"),
        ({"labels": {"a/b/c": "v"}}, "labels"),
        ({"labels": {"A_b/c": "v"}}, "labels"),
        ({"labels": {"a": "b c"}}, "labels.a"),
        ({"labels": {"a": "x" * 64}}, "labels.a"),
        ({"labels": {"a": "v\n"}}, "labels.a"),
        ({"algorithm": Algorithm("")}, "algorithm.sha256"),
        ({"algorithm": Algorithm("A" * 64)}, "algorithm.sha256"),
        ({"algorithm": Algorithm(DIGEST + "\n")}, "algorithm.sha256"),
        ({"algorithm": Algorithm()}, "algorithm.sha256"),
        ({"algorithm": Algorithm(id="a")}, "algorithm.sha256"),
        ({"algorithm": Algorithm(provider="p\n")}, "algorithm.provider"),
        ({"algorithm": Algorithm(provider="p", id="x" * 129)}, "algorithm.id"),
        ({"datasets": (Dataset("d", id="x"),)}, "datasets[0].sha256"),
        ({"datasets": (Dataset("d", provider="x" * 129),)}, "datasets[0].provider"),
        (
            {"datasets": (Dataset("d", provider="p"), Dataset("e", provider="p", id="d"))},
            "datasets[1].id",
        ),
        (
            {"algorithm": SHARED, "datasets": (Dataset("algorithm", provider="p"),)},
            "datasets[0].id",
        ),
        ({"result_consumers": tuple(map(str, range(17)))}, "result_consumers"),
        ({"result_consumers": ("a", "")}, "result_consumers[1]"),
        ({"result_consumers": ("x" * 129,)}, "result_consumers[0]"),
        ({"result_consumers": ("a", "b", "a")}, "result_consumers[2]"),
        ({"agent": OwnAgent()}, "network.mode"),
        ({"agent": OwnAgent(0), "network": RESTRICTED}, "agent.port"),
        ({"agent": OwnAgent(65_536), "network": RESTRICTED}, "agent.port"),
        ({"agent": OwnAgent(None)}, "agent.ready"),
        ({"agent": OwnAgent(None, ConsoleReady(""))}, "agent.ready.line"),
        ({"agent": OwnAgent(None, ConsoleReady("x" * 257))}, "agent.ready.line"),
        ({"agent": OwnAgent(None, ConsoleReady("a\x1b"))}, "agent.ready.line"),
        (
            {
                "agent": OwnAgent(),
                "network": Network(
                    NetworkMode.RESTRICTED, tuple(Forward(port) for port in range(1, 17))
                ),
            },
            "network.forwards",
        ),
        (
            {"agent": OwnAgent(), "network": RESTRICTED, "algorithm": Algorithm(id="a")},
            "algorithm.sha256",
        ),
        ({"algorithm": Algorithm(DIGEST, "x" * 129)}, "algorithm.provider"),
        ({"algorithm": Algorithm(DIGEST, "a\r")}, "algorithm.provider"),
        ({"algorithm": Algorithm(DIGEST, "", ("",) * 257)}, "algorithm.arguments"),
        ({"algorithm": Algorithm(DIGEST, "", ("x" * 4097,))}, "algorithm.arguments[0]"),
        ({"algorithm": Algorithm(DIGEST, "", ("a", "\0"))}, "algorithm.arguments[1]"),
        ({"datasets": (Dataset("d", DIGEST),) * 2}, "datasets[1].name"),
        ({"datasets": (Dataset("", DIGEST),)}, "datasets[0].name"),
        ({"datasets": (Dataset(".", DIGEST),)}, "datasets[0].name"),
        ({"datasets": (Dataset("..", DIGEST),)}, "datasets[0].name"),
        ({"datasets": (Dataset("../x", DIGEST),)}, "datasets[0].name"),
        ({"datasets": (Dataset("a\0", DIGEST),)}, "datasets[0].name"),
        ({"datasets": (Dataset("ä" * 65, DIGEST),)}, "datasets[0].name"),
        ({"datasets": (Dataset("d", "x"),)}, "datasets[0].sha256"),
        ({"vm": VmShape(cpus=0)}, "vm.cpus"),
        ({"vm": VmShape(cpus=65)}, "vm.cpus"),
        ({"vm": VmShape(memory_bytes=1)}, "vm.memory_bytes"),
        ({"vm": VmShape(memory_bytes=10 * 1024 * GIB)}, "vm.memory_bytes"),
        ({"vm": VmShape(memory_bytes=64 * MIB + 1)}, "vm.memory_bytes"),
        ({"vm": VmShape(initrd=())}, "vm.initrd"),
        ({"vm": VmShape(initrd=(ByName("a"),) * 17)}, "vm.initrd"),
        ({"vm": VmShape(initrd=(ByDigest("x"),))}, "vm.initrd[0].sha256"),
        ({"vm": VmShape(kernel=ByName("/etc/shadow"))}, "vm.kernel.name"),
        ({"vm": VmShape(kernel=ByName("../x"))}, "vm.kernel.name"),
        ({"vm": VmShape(kernel=ByName("x\n"))}, "vm.kernel.name"),
        ({"vm": VmShape(firmware=ByName(""))}, "vm.firmware.name"),
        ({"vm": VmShape(command_line="x" * 2001)}, "vm.command_line"),
        ({"vm": VmShape(command_line="a\nb")}, "vm.command_line"),
        ({"vm": VmShape(command_line="ä")}, "vm.command_line"),
        ({"limits": Limits(ttl_ms=999)}, "limits.ttl_ms"),
        ({"limits": Limits(ttl_ms=30 * 86_400_000 + 1)}, "limits.ttl_ms"),
        ({"limits": Limits(launch_deadline_ms=3_600_001)}, "limits.launch_deadline_ms"),
        ({"limits": Limits(stop_grace_ms=-1)}, "limits.stop_grace_ms"),
        ({"limits": Limits(stop_grace_ms=600_001)}, "limits.stop_grace_ms"),
        ({"limits": Limits(result_bytes=1023)}, "limits.result_bytes"),
        ({"limits": Limits(log_bytes=4095)}, "limits.log_bytes"),
        ({"limits": Limits(inputs_deadline_ms=999)}, "limits.inputs_deadline_ms"),
        ({"limits": Limits(inputs_deadline_ms=30 * DAY_MS + 1)}, "limits.inputs_deadline_ms"),
    ],
)
def test_what_lies_outside_is_refused_by_name(changes: dict[str, object], wrong: str) -> None:
    assert fields(**changes) == [wrong]


def test_a_refusal_says_what_it_got_and_what_it_takes() -> None:
    (wrong,) = rules.check(a_manifest(vm=VmShape(memory_bytes=1)))
    assert wrong.description == "got 1; it takes 64 MiB to 4 TiB, in bytes"


def test_what_a_stranger_wrote_is_quoted_and_shortened() -> None:
    (wrong,) = rules.check(a_manifest(name="\x1b[31m" + "x" * 100_000))
    assert len(wrong.description) < 200
    assert "\x1b" not in wrong.description


def test_every_fault_is_reported_at_once() -> None:
    assert fields(name="", algorithm=Algorithm("x"), limits=Limits(0, 0)) == [
        "name",
        "algorithm.sha256",
        "limits.ttl_ms",
        "limits.launch_deadline_ms",
    ]


def test_no_more_faults_are_reported_than_anybody_mends() -> None:
    labels = {f"-{number}": "" for number in range(1000)}
    assert len(fields(labels=labels)) == VIOLATIONS


def test_a_manifest_that_is_too_long_as_a_whole_is_refused() -> None:
    arguments = ("x" * 4096,) * 12
    assert fields(algorithm=Algorithm(DIGEST, "", arguments)) == [""]


def test_the_whole_command_line_fits_the_kernel() -> None:
    whole = f"{qemu_argv.BASE_COMMAND_LINE} {'x' * rules.COMMAND_LINE_BYTES}\0"
    assert len(whole) <= 2048


TEXT = st.text(st.characters(), max_size=40)


@given(
    st.builds(
        Manifest,
        name=TEXT,
        description=TEXT,
        labels=st.dictionaries(TEXT, TEXT, max_size=3),
        algorithm=st.builds(Algorithm, TEXT, TEXT, st.lists(TEXT, max_size=3).map(tuple)),
        datasets=st.lists(st.builds(Dataset, TEXT, TEXT, TEXT), max_size=3).map(tuple),
        vm=st.builds(
            VmShape,
            cpus=st.integers(),
            memory_bytes=st.integers(),
            kernel=st.builds(ByName, TEXT) | st.builds(ByDigest, TEXT),
            command_line=TEXT,
        ),
        limits=st.builds(Limits, st.integers(), st.integers(), st.integers()),
    )
)
def test_any_manifest_gets_an_answer_and_what_passes_can_be_an_event(manifest: Manifest) -> None:
    if not rules.check(manifest):
        assert len(msgspec.msgpack.encode(manifest)) <= rules.MANIFEST_BYTES


@pytest.mark.parametrize("vm_id", ["a", "0", "a-b", "x" * 63])
def test_an_id_that_is_a_label_is_allowed(vm_id: str) -> None:
    assert rules.check_vm_id(vm_id) == ()


@pytest.mark.parametrize("vm_id", ["", "A", "-a", "a-", "a/b", "..", "a\n", "x" * 64, "ä", "a b"])
def test_any_other_id_is_refused(vm_id: str) -> None:
    assert [wrong.field for wrong in rules.check_vm_id(vm_id)] == ["vm_id"]


@pytest.mark.parametrize("key", ["", "x" * 129, "a\n", "ä"])
def test_a_key_that_could_not_be_logged_is_refused(key: str) -> None:
    assert [wrong.field for wrong in rules.check_idempotency_key(key)] == ["idempotency_key"]
    assert rules.check_idempotency_key("key with spaces ~") == ()
