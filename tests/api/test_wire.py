"""Messages <-> values of the core: nothing is lost, nothing wrong comes through."""

from base64 import b64encode
from enum import Enum

import pytest
from chronovisor_api import v1
from hypothesis import given
from hypothesis import strategies as st

from supervisor.api import wire, wire_manifest
from supervisor.vm import confidential, events, spec, state
from supervisor.vm.commands import CommandDenied, DenyReason
from supervisor.vm.guest_agent import ConsoleReady, OwnAgent, PortReady, ReferenceAgent
from supervisor.vm.observations import ExitEvidence, ProcessIdentity, TimerKind
from tests.vm.party_states import DATA, PARTIES

DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
IMAGES = st.builds(spec.ByDigest, DIGESTS) | st.builds(spec.ByName, NAMES)
PORTS = st.integers(1, 65_535)
SESSIONS = st.builds(
    confidential.GuestSession,
    st.binary(min_size=2084, max_size=2084).map(lambda data: b64encode(data).decode()),
    st.binary(min_size=128, max_size=128).map(lambda data: b64encode(data).decode()),
)
CONFIDENTIAL = (
    st.builds(
        confidential.Sev,
        st.sampled_from([0, 3, 0x330003]),
        SESSIONS,
        expected_digest=DIGESTS | st.just(""),
        deadline_ms=st.integers(1000, 86_400_000),
    )
    | st.builds(
        confidential.SevEs,
        st.just(7),
        verification=st.just(confidential.Verification.TRUSTED_HOST),
        expected_digest=DIGESTS,
        vmsa_variant=st.sampled_from(confidential.VmsaVariant),
    )
    | st.builds(
        confidential.Snp,
        policy=st.sampled_from([0x30000, 0x20000]),
        id_block=st.just(b64encode(b"b" * 96).decode()),
        id_auth=st.just(b64encode(b"a" * 4096).decode()),
    )
)
CONSOLE = st.builds(ConsoleReady, NAMES)
MANIFESTS = st.builds(
    spec.Manifest,
    name=NAMES,
    description=st.text("abcä\n", max_size=50),
    labels=st.dictionaries(NAMES.filter(lambda name: name[-1].isalnum()), st.just("v"), max_size=3),
    algorithm=st.builds(
        spec.Algorithm,
        st.just("") | DIGESTS,
        NAMES,
        st.lists(st.text("a'\\ \n", max_size=9)).map(tuple),
        NAMES,
        st.just("the algorithm"),
    ),
    datasets=st.lists(
        st.builds(spec.Dataset, NAMES, st.just("") | DIGESTS, NAMES, NAMES, st.just("")),
        max_size=3,
        unique_by=lambda one: one.name,
    ).map(tuple),
    vm=st.builds(
        spec.VmShape,
        cpus=st.integers(1, 64),
        memory_bytes=st.integers(64, 4096).map(lambda mib: mib * spec.MIB),
        machine=st.sampled_from(spec.Machine),
        accel=st.sampled_from(spec.Accelerator),
        kernel=IMAGES,
        initrd=st.lists(IMAGES, min_size=1, max_size=3).map(tuple),
        firmware=st.none() | IMAGES,
        command_line=st.sampled_from(["", "debug loglevel=7"]),
        watchdog=st.booleans(),
    ),
    limits=st.builds(
        spec.Limits,
        ttl_ms=st.integers(1000, 10**6),
        launch_deadline_ms=st.integers(1000, 10**6),
        stop_grace_ms=st.integers(0, 600_000),
        result_bytes=st.integers(1024, 10**6),
        log_bytes=st.integers(4096, 10**6),
        inputs_deadline_ms=st.integers(1000, 10**6),
    ),
    restart=st.builds(
        spec.RestartPolicy,
        policy=st.sampled_from(spec.RestartOn),
        max_restarts=st.integers(1, 100),
        period_ms=st.integers(10_000, 10**6),
        backoff_ms=st.integers(100, 10**6),
        backoff_max_ms=st.integers(100, 10**6),
    ),
    result_consumers=st.lists(NAMES, max_size=3, unique=True).map(tuple),
    agent=st.just(ReferenceAgent())
    | st.builds(OwnAgent, PORTS, st.just(PortReady()) | CONSOLE)
    | st.builds(OwnAgent, st.none(), CONSOLE),
    network=st.builds(
        spec.Network,
        mode=st.sampled_from([spec.NetworkMode.RESTRICTED, spec.NetworkMode.USER]),
        forwards=st.lists(
            st.builds(spec.Forward, PORTS, PORTS | st.none()),
            max_size=3,
            unique_by=(lambda one: one.guest_port, lambda one: one.host_port or object()),
        ).map(tuple),
    ),
)


@given(MANIFESTS)
def test_a_manifest_crosses_the_wire_and_back_unchanged(manifest: spec.Manifest) -> None:
    sent = wire_manifest.from_manifest(manifest).SerializeToString()
    assert wire_manifest.to_manifest(v1.Manifest.FromString(sent)) == manifest


@given(CONFIDENTIAL)
def test_a_confidential_manifest_crosses_the_wire_unchanged(
    demanded: confidential.Confidential,
) -> None:
    manifest = spec.Manifest(
        "n",
        spec.Algorithm("a" * 64),
        vm=spec.VmShape(firmware=spec.ByName("ovmf")),
        confidential=demanded,
        result_recipients=(spec.Recipient("Alice", "age1"),),
    )
    sent = wire_manifest.from_manifest(manifest).SerializeToString()
    assert wire_manifest.to_manifest(v1.Manifest.FromString(sent)) == manifest


@pytest.mark.parametrize(
    ("demanded", "field"),
    [
        (v1.Confidential(), "manifest.confidential"),
        (v1.Confidential(sev=v1.Sev(policy=3)), "manifest.confidential.sev.session"),
        (
            v1.Confidential(sev=v1.Sev(policy=3, session=v1.GuestSession(godh_cert=b"x" * 2084))),
            "manifest.confidential.sev.session.session_blob",
        ),
        (
            v1.Confidential(sev_es=v1.SevEs(policy=3, verification=v1.Verification(9))),
            "manifest.confidential.sev_es.verification",
        ),
        (v1.Confidential(snp=v1.Snp(id_block=b"x")), "manifest.confidential.snp.id_block"),
    ],
)
def test_what_is_wrong_with_a_confidential_manifest_is_named_as_it_was_sent(
    demanded: v1.Confidential, field: str
) -> None:
    shape = v1.VmShape(firmware=v1.ImageRef(name="ovmf"))
    algorithm = v1.Algorithm(sha256="a" * 64)
    message = v1.Manifest(name="n", algorithm=algorithm, vm=shape, confidential=demanded)
    assert field in fields(message)


@pytest.mark.parametrize(
    ("agent", "field"),
    [
        (v1.Agent(), "manifest.agent"),
        (v1.Agent(own=v1.OwnAgent()), "manifest.agent.own.ready"),
        (v1.Agent(own=v1.OwnAgent(port=0)), "manifest.agent.own.port"),
        (
            v1.Agent(own=v1.OwnAgent(port=1, console_ready=v1.ConsoleReady())),
            "manifest.agent.own.console_ready.line",
        ),
    ],
)
def test_what_is_wrong_with_an_agent_is_named_as_it_was_sent(agent: v1.Agent, field: str) -> None:
    network = v1.Network(mode=v1.NetworkMode.RESTRICTED)
    assert field in fields(v1.Manifest(name="n", agent=agent, network=network))


def test_a_network_of_none_crosses_the_wire_unchanged() -> None:
    manifest = spec.Manifest("n", spec.Algorithm("a" * 64))
    assert wire_manifest.to_manifest(wire_manifest.from_manifest(manifest)) == manifest


def test_an_input_is_shown_as_awaited_and_then_with_what_came() -> None:
    halfway = wire.from_state(PARTIES["halfway"])
    assert halfway.phase is v1.Phase.AWAITING_INPUTS
    assert halfway.inputs_deadline is not None
    assert halfway.inputs == [
        v1.Input(provider="Alice", id="algorithm"),
        v1.Input(provider="Bob", id="iris", sha256=DATA.sha256, size=DATA.size),
    ]
    assert wire.from_state(PARTIES["complete"]).inputs_deadline is None


def test_what_a_client_leaves_out_is_the_default() -> None:
    message = v1.Manifest(name="n", algorithm=v1.Algorithm(sha256="a" * 64))
    assert wire_manifest.to_manifest(message) == spec.Manifest("n", spec.Algorithm("a" * 64))


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        (v1.Limits(ttl_ms=0), "ttl_ms"),
        (v1.Limits(launch_deadline_ms=0), "launch_deadline_ms"),
        (v1.Limits(result_bytes=0), "result_bytes"),
        (v1.Limits(log_bytes=0), "log_bytes"),
    ],
)
def test_an_explicit_zero_is_not_taken_for_the_default(limits: v1.Limits, field: str) -> None:
    message = v1.Manifest(name="n", algorithm=v1.Algorithm(sha256="a" * 64), limits=limits)
    assert fields(message) == [f"manifest.limits.{field}"]


def fields(message: v1.Manifest) -> list[str]:
    with pytest.raises(CommandDenied) as denied:
        wire_manifest.to_manifest(message)
    assert denied.value.reason is DenyReason.INVALID_MANIFEST
    return [wrong.field for wrong in denied.value.violations]


def test_an_image_that_names_nothing_is_refused() -> None:
    shape = v1.VmShape(initrd=[v1.ImageRef(name="a"), v1.ImageRef()], kernel=v1.ImageRef())
    message = v1.Manifest(name="n", algorithm=v1.Algorithm(sha256="a" * 64), vm=shape)
    assert fields(message) == ["manifest.vm.initrd[1]", "manifest.vm.kernel"]


def test_many_faults_are_counted_in_the_message_and_all_listed_beside_it() -> None:
    datasets = [v1.Dataset(name="x", sha256="?") for _ in range(10)]
    message = v1.Manifest(name="n", algorithm=v1.Algorithm(sha256="a" * 64), datasets=datasets)
    with pytest.raises(CommandDenied) as denied:
        wire_manifest.to_manifest(message)
    assert len(denied.value.violations) == 19
    assert denied.value.detail.endswith("; and 11 more")


@pytest.mark.parametrize(
    ("core", "message"),
    [
        (state.Phase, v1.Phase),
        (events.Outcome, v1.Outcome),
        (spec.Machine, v1.Machine),
        (spec.Accelerator, v1.Accelerator),
        (spec.RestartOn, v1.RestartOn),
        (spec.NetworkMode, v1.NetworkMode),
        (spec.ForwardProtocol, v1.ForwardProtocol),
    ],
)
def test_every_member_of_an_enum_has_its_counterpart(core: type[Enum], message: type[Enum]) -> None:
    assert {member.name for member in core} | {"UNSPECIFIED"} == {one.name for one in message}


def a_state(**changes: object) -> state.VmState:
    defaults: dict[str, object] = {
        "vm_id": "a",
        "manifest": spec.Manifest("n", spec.Algorithm("a" * 64)),
        "digest": "d" * 64,
        "tenant": "default",
        "principal": "uid:0",
        "created_ms": 1_700_000_000_123,
        "seen_ms": 1_700_000_000_123,
    }
    return state.VmState(**(defaults | changes))  # type: ignore[arg-type]


def a_launch(**changes: object) -> state.Launch:
    process = ProcessIdentity(4242, 1, "boot")
    defaults: dict[str, object] = {
        "number": 2,
        "directory": "d",
        "uuid": "u",
        "accel": "tcg",
        "intended_ms": 1,
        "process": process,
    }
    return state.Launch(**(defaults | changes))  # type: ignore[arg-type]


def test_a_vm_that_has_only_been_accepted_says_so_and_nothing_more() -> None:
    vm = wire.from_state(a_state())
    assert (vm.phase, vm.launch, vm.pid, vm.result, vm.progress) == (
        v1.Phase.DEFINED,
        0,
        None,
        None,
        None,
    )
    assert vm.created_at is not None
    assert vm.created_at.isoformat() == "2023-11-14T22:13:20.123000+00:00"
    assert (vm.started_at, vm.ended_at, vm.ttl_deadline) == (None, None, None)
    assert vm.contact == v1.Contact(state=v1.ContactState.OK)


def test_a_vm_that_ran_shows_all_that_is_known_of_it() -> None:
    vm = wire.from_state(
        a_state(
            phase=state.Phase.STOPPED,
            launch=a_launch(exit_evidence=ExitEvidence(exit_code=0)),
            outcome=events.Outcome.COMPLETED,
            started_ms=1_700_000_001_000,
            ended_ms=1_700_000_002_000,
            progress=state.Progress(0.5, "half", 1),
            result=state.Result("e" * 64, 7),
            detail="done",
            version=9,
        )
    )
    assert (vm.outcome, vm.launch, vm.pid, vm.version) == (v1.Outcome.COMPLETED, 2, None, 9)
    assert vm.progress == v1.Progress(fraction=0.5, message="half")
    assert vm.result == v1.Result(sha256="e" * 64, size=7)


def test_a_vm_that_is_to_be_launched_again_says_when_and_after_what() -> None:
    vm = wire.from_state(
        a_state(
            phase=state.Phase.BACKOFF,
            launch=a_launch(),
            deadlines={TimerKind.BACKOFF: 1_700_000_004_000},
            restarts_ms=(1_700_000_002_000,),
            previous=state.PreviousLaunch(
                2, events.Outcome.LOST_BY_REBOOT, "oh", 1_700_000_002_000
            ),
        )
    )
    assert vm.restart_at is not None
    assert (vm.restart_at.timestamp(), vm.restarts, vm.pid) == (1_700_000_004, 1, None)
    assert vm.previous_launch is not None
    assert vm.previous_launch.outcome is v1.Outcome.LOST_BY_REBOOT
    assert (vm.previous_launch.launch, vm.previous_launch.detail) == (2, "oh")


def test_a_guest_that_sleeps_says_since_when() -> None:
    launch = a_launch(suspended_since_ms=1_700_000_002_000)
    vm = wire.from_state(a_state(phase=state.Phase.RUNNING, launch=launch))
    assert vm.suspended_since is not None
    assert vm.suspended_since.timestamp() == 1_700_000_002


def test_a_running_vm_has_a_pid_and_a_deadline_and_may_be_silent() -> None:
    vm = wire.from_state(
        a_state(
            phase=state.Phase.RUNNING,
            launch=a_launch(),
            deadlines={TimerKind.TTL: 1_700_000_003_000},
            silent_since_ms=1_700_000_002_500,
        )
    )
    assert vm.pid == 4242
    assert vm.ttl_deadline is not None
    assert vm.ttl_deadline.timestamp() == 1_700_000_003
    assert vm.contact is not None
    assert vm.contact.state is v1.ContactState.SILENT
    assert vm.contact.silent_since is not None


def test_a_place_in_the_queue_is_told_of_who_is_queued_and_of_nobody_else() -> None:
    queued = a_state(phase=state.Phase.QUEUED)
    assert wire.from_state(queued, 3).queue_position == 3
    assert wire.from_state(queued).queue_position is None
    assert wire.from_state(a_state(), 3).queue_position is None, "not durable yet"


def test_the_forwards_of_a_vm_are_told_while_it_has_a_qemu() -> None:
    network = spec.Network(spec.NetworkMode.RESTRICTED, (spec.Forward(80), spec.Forward(22)))
    manifest = spec.Manifest("n", spec.Algorithm("a" * 64), network=network)
    launch = a_launch(host_ports=(20_000, 20_001))
    live = a_state(manifest=manifest, launch=launch, phase=state.Phase.RUNNING)
    assert [(each.host_port, each.guest_port) for each in wire.from_state(live).forwards] == [
        (20_000, 80),
        (20_001, 22),
    ]
    gone = a_state(manifest=manifest, launch=launch, phase=state.Phase.FAILED)
    assert wire.from_state(gone).forwards == []
