"""Taking computations: once per key, in one append, with every refusal named."""

import errno
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from eventlog import EventLog, LogOptions, NewEvent, Record, Spare, open_log, read_log
from eventlog.storage import DiskFile, DiskStorage
from supervisor.admission.digest import manifest_digest, request_digest
from supervisor.admission.inputs import check_inputs
from supervisor.admission.intake import IN_FLIGHT_MAX, Admission, Intake, Taken
from supervisor.admission.quotas import Quotas
from supervisor.admission.state import AdmissionState
from supervisor.admission.uploads import Uploads
from supervisor.artifacts.catalogue import Catalogue
from supervisor.artifacts.store import ArtifactStore
from supervisor.caller import Caller
from supervisor.config import Capacity
from supervisor.journal import decode
from supervisor.replay import replay
from supervisor.vm.commands import CommandDenied, DenyReason
from supervisor.vm.events import ComputationSubmitted
from supervisor.vm.observations import TimerKind
from supervisor.vm.rules import check_vm_id
from supervisor.vm.spec import (
    Algorithm,
    ByDigest,
    Dataset,
    Manifest,
    Network,
    NetworkMode,
    RestartOn,
    RestartPolicy,
    VmShape,
)
from supervisor.vm.state import Phase
from tests.eventlog.gate import Gate
from tests.eventlog.memory_storage import FaultyStorage
from tests.vm.party_states import INPUTS_MS, SHARED
from tests.vm.states import MANIFEST, NOW, SHA256

CALLER = Caller("uid:1000", "local", command_id="request-1")
STRANGER = Caller("uid:1001", "another tenant", command_id="request-2")
SMALL = LogOptions(segment_bytes=1024 * 1024)
AMPLE = Capacity()
FIRST_MANIFEST_DIGEST = "ff3c70df1953b1f5629e7a6ff81819f9b363b6f863d49e4acdc29aff6abf4850"
FIRST_REQUEST_DIGEST = "4ee7aa7b41e144897855b95069768546ed45d6bcd22cb76bcfefa79c1cc813c8"
"""Of MANIFEST, and of it under the id "iris", as the first version had them."""
OTHER = msgspec.structs.replace(MANIFEST, name="other")


class Started:
    """The VMs that were made, by the records that define them; ``deleted`` are counted off."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.deleted = 0

    def count(self) -> int:
        return len(self.records) - self.deleted

    def count_of(self, tenant: str, principal: str) -> int:
        owners = [(record.tenant, record.principal) for record in self.records]
        return owners.count((tenant, principal)) - self.deleted


class Office:
    """Admission on a real log, with inputs that are all there and VMs that only get counted."""

    def __init__(self, log: EventLog, state: AdmissionState, capacity: Capacity = AMPLE) -> None:
        self.log = log
        self.vms = Started()
        self.started = self.vms.records
        self.firsts: list[tuple[str, ...]] = []
        quotas = Quotas(capacity, self.vms)
        self.admission = Admission(
            state, log, lambda manifest, tenant: None, self._start, quotas, lambda: NOW
        )

    def _start(self, records: Sequence[Record]) -> None:
        self.started.append(records[0])
        self.firsts.append(tuple(record.type for record in records))

    async def submit(
        self,
        manifest: Manifest = MANIFEST,
        *,
        key: str = "key-1",
        vm_id: str | None = None,
        caller: Caller = CALLER,
    ) -> Taken:
        return await self.admission.submit(manifest, key=key, vm_id=vm_id, caller=caller)

    async def refused(
        self, manifest: Manifest = MANIFEST, *, key: str = "key-1", vm_id: str | None = None
    ) -> CommandDenied:
        """Submit what will not be taken; check that it leaves nothing behind."""
        head = self.log.head
        with pytest.raises(CommandDenied) as denied:
            await self.submit(manifest, key=key, vm_id=vm_id)
        assert self.log.head == head
        return denied.value


@asynccontextmanager
async def office(directory: Path, capacity: Capacity = AMPLE) -> AsyncIterator[Office]:
    """One life of the daemon, as far as admission knows."""
    async with open_log(directory, SMALL) as log:
        yield Office(log, replay(read_log(directory)).admission, capacity)


@pytest.mark.fault("key-freezes-failure")
async def test_a_computation_is_taken_in_one_append(tmp_path: Path) -> None:
    async with office(tmp_path) as desk:
        taken = await desk.submit()
        admitted, submitted = [record async for record in desk.log.read()]
    assert taken.reused is False
    assert admitted.recorded_at == submitted.recorded_at
    assert (admitted.stream, submitted.stream) == ("host", f"vm/{taken.vm_id}")
    assert admitted.causation_id == submitted.causation_id == "request-1"
    assert desk.started == [submitted]
    event = decode(submitted)
    assert event == ComputationSubmitted(MANIFEST, manifest_digest(MANIFEST))
    vm = replay(read_log(tmp_path)).vms[taken.vm_id]
    assert (vm.phase, vm.tenant, vm.principal) == (Phase.DEFINED, "local", "uid:1000")


async def test_the_same_request_again_is_the_same_vm(tmp_path: Path) -> None:
    async with office(tmp_path) as desk:
        first = await desk.submit()
        again = await desk.submit()
    assert (again.vm_id, again.reused) == (first.vm_id, True)
    assert len(desk.started) == 1


async def test_a_hurried_client_that_sends_its_request_fifty_times_has_one_vm(
    tmp_path: Path,
) -> None:
    answers: list[Taken] = []

    async with office(tmp_path) as desk:

        async def submit() -> None:
            answers.append(await desk.submit())

        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(submit)
    assert len({taken.vm_id for taken in answers}) == 1
    assert sorted(taken.reused for taken in answers) == [False] + [True] * 49
    assert len(desk.started) == 1


async def test_a_key_that_was_used_for_another_request_is_refused(tmp_path: Path) -> None:
    async with office(tmp_path) as desk:
        await desk.submit(vm_id="iris")
        for manifest, vm_id in ((OTHER, "iris"), (MANIFEST, None), (MANIFEST, "iris-2")):
            denied = await desk.refused(manifest, vm_id=vm_id)
            assert denied.reason is DenyReason.IDEMPOTENCY_KEY_REUSED


async def test_another_request_with_a_key_that_is_on_its_way_is_refused(tmp_path: Path) -> None:
    denials: list[CommandDenied] = []

    async with office(tmp_path) as desk:

        async def submit(manifest: Manifest) -> None:
            try:
                await desk.submit(manifest)
            except CommandDenied as denied:
                denials.append(denied)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(submit, MANIFEST)
            nursery.start_soon(submit, OTHER)
    assert [denied.reason for denied in denials] == [DenyReason.IDEMPOTENCY_KEY_REUSED]
    assert len(desk.started) == 1


async def test_keys_and_ids_are_remembered_over_a_restart(tmp_path: Path) -> None:
    async with office(tmp_path) as desk:
        first = await desk.submit(vm_id="iris")
    async with office(tmp_path) as desk:
        assert await desk.submit(vm_id="iris") == Taken(first.vm_id, reused=True)
        assert (await desk.refused(OTHER)).reason is DenyReason.IDEMPOTENCY_KEY_REUSED
        assert (await desk.refused(key="new", vm_id="iris")).reason is DenyReason.VM_EXISTS
        assert desk.started == []


async def test_tenants_do_not_share_keys_but_they_share_ids(tmp_path: Path) -> None:
    async with office(tmp_path) as desk:
        mine = await desk.submit(vm_id="iris")
        with pytest.raises(CommandDenied) as denied:
            await desk.submit(vm_id="iris", caller=STRANGER)
        assert denied.value.reason is DenyReason.VM_EXISTS
        theirs = await desk.submit(caller=STRANGER)
    assert mine.vm_id != theirs.vm_id
    assert theirs.reused is False


async def test_two_keys_that_want_one_id_at_once_do_not_both_get_it(tmp_path: Path) -> None:
    reasons: list[DenyReason] = []

    async with office(tmp_path) as desk:

        async def submit(key: str) -> None:
            try:
                await desk.submit(key=key, vm_id="iris")
            except CommandDenied as denied:
                reasons.append(denied.reason)

        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(submit, f"key-{number}")
    assert reasons == [DenyReason.VM_EXISTS] * 4
    assert len(desk.started) == 1


async def test_a_client_that_gives_up_while_the_disk_works_still_has_its_vm(
    tmp_path: Path,
) -> None:
    async with office(tmp_path) as desk:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(desk.submit)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert (await desk.submit()).reused is True
    assert len(desk.started) == 1
    assert len(replay(read_log(tmp_path)).vms) == 1


async def test_only_so_many_submissions_wait_for_the_disk(tmp_path: Path) -> None:
    reasons: list[DenyReason] = []
    disk = Gate()
    options = LogOptions(storage=lambda path: FaultyStorage(DiskStorage(path), disk))
    async with open_log(tmp_path, options) as log:
        desk = Office(log, AdmissionState())
        disk.shut()

        async def submit(number: int) -> None:
            try:
                await desk.submit(key=f"key-{number}")
            except CommandDenied as denied:
                reasons.append(denied.reason)

        async with trio.open_nursery() as nursery:
            for number in range(IN_FLIGHT_MAX + 1):
                nursery.start_soon(submit, number)
            await wait_all_tasks_blocked()
            disk.open()
    assert reasons == [DenyReason.MAILBOX_FULL]
    assert len(desk.started) == IN_FLIGHT_MAX


async def test_a_closed_intake_takes_nothing_new_and_still_answers_for_what_it_took(
    tmp_path: Path,
) -> None:
    async with office(tmp_path) as desk:
        first = await desk.submit()
        desk.admission.intake = Intake.CLOSED
        assert await desk.submit() == Taken(first.vm_id, reused=True)
        assert (await desk.refused(key="new")).reason is DenyReason.SHUTTING_DOWN


@pytest.mark.parametrize(
    "vm_id", ["", "Iris", "-iris", "iris-", "a/b", "..", "iris\n", "é", "a" * 64, "a b", "a_b"]
)
async def test_an_id_that_is_no_dns_label_is_refused(tmp_path: Path, vm_id: str) -> None:
    async with office(tmp_path) as desk:
        denied = await desk.refused(vm_id=vm_id)
    assert denied.reason is DenyReason.INVALID_ARGUMENT
    assert [violation.field for violation in denied.violations] == ["vm_id"]


@pytest.mark.parametrize("key", ["", "a\nb", "é", "k" * 129])
async def test_a_key_that_is_no_short_line_of_ascii_is_refused(tmp_path: Path, key: str) -> None:
    async with office(tmp_path) as desk:
        denied = await desk.refused(key=key)
    assert denied.reason is DenyReason.INVALID_ARGUMENT
    assert [violation.field for violation in denied.violations] == ["idempotency_key"]


async def test_the_longest_id_is_taken(tmp_path: Path) -> None:
    async with office(tmp_path) as desk:
        assert (await desk.submit(vm_id="a" * 63)).vm_id == "a" * 63


async def test_an_id_that_nobody_chose_is_a_valid_one(tmp_path: Path) -> None:
    async with office(tmp_path) as desk:
        taken = {(await desk.submit(key=f"key-{number}")).vm_id for number in range(20)}
    assert len(taken) == 20
    assert not any(check_vm_id(vm_id) for vm_id in taken)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "a/b"}, "name"),
        ({"algorithm": Algorithm("no digest")}, "algorithm.sha256"),
        ({"datasets": (Dataset("..", SHA256),)}, "datasets[0].name"),
        ({"vm": VmShape(memory_bytes=1)}, "vm.memory_bytes"),
        ({"vm": VmShape(memory_bytes=10 * 1024**4)}, "vm.memory_bytes"),
        ({"vm": VmShape(memory_bytes=2**60)}, "vm.memory_bytes"),  # no number of JSON's
        ({"description": "\ud800"}, "description"),
    ],
)
async def test_what_is_wrong_with_a_manifest_is_named(
    tmp_path: Path, changes: dict[str, object], field: str
) -> None:
    manifest = msgspec.structs.replace(MANIFEST, **changes)
    async with office(tmp_path) as desk:
        denied = await desk.refused(manifest)
    assert denied.reason is DenyReason.INVALID_MANIFEST
    assert field in [violation.field for violation in denied.violations]
    assert field in denied.detail


Check = Callable[[Manifest], None]


@pytest.fixture
async def check(tmp_path: Path) -> AsyncIterator[Check]:
    """The check of inputs, with one artifact that was uploaded and nothing in the catalogue."""
    store = ArtifactStore(tmp_path / "artifacts")
    with store.receive(1024) as upload:
        upload.write(b"#!/bin/sh\n")
        stored = upload.commit()
    async with open_log(tmp_path / "log", SMALL) as log:
        uploads = Uploads(store, log)
        await uploads.record(stored, CALLER)
        catalogue = Catalogue(tmp_path / "catalogue")
        yield partial(check_inputs, caller=CALLER, uploads=uploads, catalogue=catalogue)


PRESENT = hashlib.sha256(b"#!/bin/sh\n").hexdigest()
FROM_STORE = VmShape(kernel=ByDigest(PRESENT), initrd=(ByDigest(PRESENT),))


async def test_inputs_that_are_there_are_no_reason_to_refuse(check: Check) -> None:
    check(Manifest("iris", Algorithm(PRESENT), vm=FROM_STORE))


@pytest.mark.parametrize(
    ("manifest", "reason", "field"),
    [
        (
            Manifest("iris", Algorithm(SHA256), vm=FROM_STORE),
            DenyReason.ARTIFACT_UNKNOWN,
            "algorithm.sha256",
        ),
        (
            Manifest("iris", Algorithm(PRESENT), datasets=(Dataset("a", SHA256),), vm=FROM_STORE),
            DenyReason.ARTIFACT_UNKNOWN,
            "datasets[0].sha256",
        ),
        (Manifest("iris", Algorithm(PRESENT)), DenyReason.IMAGE_UNKNOWN, "vm.kernel"),
        (
            Manifest("iris", Algorithm(PRESENT), vm=VmShape(kernel=ByDigest(SHA256))),
            DenyReason.ARTIFACT_UNKNOWN,
            "vm.kernel",
        ),
        (
            Manifest(
                "iris",
                Algorithm(PRESENT),
                vm=msgspec.structs.replace(FROM_STORE, firmware=ByDigest(SHA256)),
            ),
            DenyReason.ARTIFACT_UNKNOWN,
            "vm.firmware",
        ),
    ],
)
async def test_an_input_that_is_missing_is_named(
    check: Check, manifest: Manifest, reason: DenyReason, field: str
) -> None:
    with pytest.raises(CommandDenied) as denied:
        check(manifest)
    assert denied.value.reason is reason
    assert [violation.field for violation in denied.value.violations] == [field]


async def test_what_is_awaited_is_durable_with_the_submission(tmp_path: Path) -> None:
    async with office(tmp_path) as admission:
        taken = await admission.submit(SHARED)
        await admission.submit(key="key-2")
        assert admission.firsts == [
            ("vm.submitted.v1", "vm.inputs-awaited.v1"),
            ("vm.submitted.v1",),
        ]
    state = replay(read_log(tmp_path)).vms[taken.vm_id]
    assert state.phase is Phase.AWAITING_INPUTS
    assert state.deadlines == {TimerKind.INPUTS: NOW + INPUTS_MS}


@pytest.mark.fault("key-freezes-failure")
async def test_a_request_whose_inputs_came_later_is_taken_with_the_same_key(
    tmp_path: Path,
) -> None:
    denial: list[CommandDenied] = [CommandDenied(DenyReason.ARTIFACT_UNKNOWN, "not yet")]

    def check_inputs_once(manifest: Manifest, caller: Caller) -> None:
        if denial:
            raise denial.pop()

    async with open_log(tmp_path, SMALL) as log:
        start: Callable[[Sequence[Record]], None] = lambda records: None  # noqa: E731
        state, quotas = AdmissionState(), Quotas(AMPLE, Started())
        admission = Admission(state, log, check_inputs_once, start, quotas, lambda: NOW)
        submit = partial(admission.submit, MANIFEST, key="key-1", vm_id=None, caller=CALLER)
        with pytest.raises(CommandDenied):
            await submit()
        assert (await submit()).reused is False


async def test_more_vms_than_there_may_be_are_refused_until_one_is_deleted(tmp_path: Path) -> None:
    async with office(tmp_path, Capacity(max_vms=2)) as desk:
        for number in range(2):
            await desk.submit(key=f"key-{number}")
        denied = await desk.refused(key="new")
        assert denied.reason is DenyReason.TOO_MANY_VMS
        assert denied.detail == "there are as many VMs as may be, 2; delete some that have ended"
        desk.vms.deleted = 1
        assert (await desk.submit(key="new")).reused is False


async def test_a_principal_has_a_quota_and_others_have_theirs(tmp_path: Path) -> None:
    async with office(tmp_path, Capacity(max_vms_per_principal=1)) as desk:
        first = await desk.submit()
        denied = await desk.refused(key="new")
        assert denied.reason is DenyReason.QUOTA_EXCEEDED
        assert denied.detail == (
            "uid:1000 has as many VMs as one principal may have, 1; "
            "delete some of them that have ended"
        )
        assert (await desk.submit(caller=STRANGER)).reused is False
        assert (await desk.submit()).vm_id == first.vm_id, "a repetition takes no room"


@pytest.mark.parametrize("capacity", [Capacity(max_vms=3), Capacity(max_vms_per_principal=3)])
async def test_of_many_submissions_at_once_no_more_are_taken_than_fit(
    tmp_path: Path, capacity: Capacity
) -> None:
    reasons: list[DenyReason] = []

    async with office(tmp_path, capacity) as desk:

        async def submit(number: int) -> None:
            try:
                await desk.submit(key=f"key-{number}")
            except CommandDenied as denied:
                reasons.append(denied.reason)

        async with trio.open_nursery() as nursery:
            for number in range(1000):
                nursery.start_soon(submit, number)
    assert len(desk.started) == 3
    assert len(reasons) == 997
    assert set(reasons) <= {DenyReason.TOO_MANY_VMS, DenyReason.QUOTA_EXCEEDED}


class FullDisk(DiskStorage):
    """A disk without room for another segment."""

    full = False

    def create(self, name: str) -> DiskFile:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().create(name)


async def test_the_last_room_of_the_disk_is_kept_for_the_vms_there_are(tmp_path: Path) -> None:
    disk = FullDisk(tmp_path)
    options = LogOptions(segment_bytes=16 * 1024, storage=lambda directory: disk)
    async with open_log(tmp_path, options) as log:
        desk = Office(log, AdmissionState())
        disk.full = True
        number = 0
        while _spare(log) is Spare.HELD:
            await desk.submit(key=f"key {(number := number + 1)}")
        with trio.fail_after(60):
            while _spare(log) is Spare.DUE:
                await trio.lowlevel.checkpoint()
        assert (await desk.refused(key="another")).reason is DenyReason.DISK_FULL
        await log.append([NewEvent("vm/a", "vm.stopped.v1", b"\x80", "event-1")])


def _spare(log: EventLog) -> Spare:
    return log.spare


async def test_a_disk_with_room_is_not_called_full_while_the_log_takes_more_of_it(
    tmp_path: Path,
) -> None:
    disk = Gate()

    def busy(operation: str) -> None:
        if operation == "create":
            disk(operation)

    options = LogOptions(
        segment_bytes=16 * 1024, storage=lambda path: FaultyStorage(DiskStorage(path), busy)
    )
    async with open_log(tmp_path, options) as log:
        desk = Office(log, AdmissionState())
        disk.shut()
        try:
            while _spare(log) is Spare.HELD:
                await desk.submit(key=f"key {len(desk.started)}")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(desk.submit, key="meanwhile"))
                await wait_all_tasks_blocked()
                disk.open()
        finally:
            disk.open()


names = st.text("abc-é", min_size=1, max_size=4)


@given(names, names, st.none() | names, st.none() | names)
def test_requests_have_equal_digests_only_if_they_are_equal(
    one: str, other: str, first: str | None, second: str | None
) -> None:
    left = msgspec.structs.replace(MANIFEST, name=one)
    right = msgspec.structs.replace(MANIFEST, name=other)
    same = (one, first) == (other, second)
    assert (request_digest(left, first) == request_digest(right, second)) is same


def test_the_order_of_labels_does_not_change_the_digest() -> None:
    forth = msgspec.structs.replace(MANIFEST, labels={"a": "1", "b": "2"})
    back = msgspec.structs.replace(MANIFEST, labels={"b": "2", "a": "1"})
    assert manifest_digest(forth) == manifest_digest(back)


async def test_while_the_admission_cannot_be_read_only_earlier_requests_are_answered(
    tmp_path: Path,
) -> None:
    async with office(tmp_path) as desk:
        first = await desk.submit()
        desk.admission.intake = Intake.UNREADABLE
        denied = await desk.refused(key="key-2")
        assert denied.reason is DenyReason.EVENT_UNKNOWN
        assert (await desk.submit()).vm_id == first.vm_id


def test_what_an_earlier_version_took_is_still_the_same_request() -> None:
    assert manifest_digest(MANIFEST) == FIRST_MANIFEST_DIGEST
    assert request_digest(MANIFEST, "iris") == FIRST_REQUEST_DIGEST


@pytest.mark.parametrize(
    "changes",
    [
        {"network": Network(NetworkMode.RESTRICTED)},
        {"restart": RestartPolicy(RestartOn.ALWAYS)},
        {"vm": VmShape(watchdog=True)},
    ],
)
def test_a_field_that_came_later_counts_as_soon_as_it_is_used(changes: dict[str, object]) -> None:
    used = msgspec.structs.replace(MANIFEST, **changes)
    assert manifest_digest(used) != manifest_digest(MANIFEST)
