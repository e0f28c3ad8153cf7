"""Events through the bytes of a real log and back: the same words, the same state."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from eventlog import (
    EventLog,
    LogOptions,
    NewEvent,
    Record,
    WrongExpectedVersion,
    open_log,
    read_log,
)
from supervisor.admission import events as admission
from supervisor.cause import Cause
from supervisor.journal import (
    HOST_STREAM,
    LogJournal,
    decode,
    encode,
    vm_stream,
)
from supervisor.replay import define_from, load_vm, replay
from supervisor.schema import TAGS, UnknownEventError
from supervisor.vm import events as vm
from supervisor.vm.decide import decide
from supervisor.vm.evolve import evolve
from supervisor.vm.state import VmState
from tests.vm.life import Life
from tests.vm.states import MANIFEST, SHA256, STORIES

SMALL = LogOptions(segment_bytes=1024 * 1024)
CAUSE = Cause("request", "request", "uid:1000", "00-trace")


@asynccontextmanager
async def log_with(directory: Path, vm_ids: list[str]) -> AsyncIterator[EventLog]:
    """A log in which these VMs were submitted."""
    async with open_log(directory, SMALL) as log:
        for vm_id in vm_ids:
            submitted = vm.ComputationSubmitted(MANIFEST, SHA256)
            await log.append([encode(submitted, vm_stream(vm_id), "local", CAUSE)])
        yield log


async def loaded(log: EventLog, vm_id: str) -> VmState:
    state = await load_vm(log, vm_id)
    assert state is not None
    return state


async def live(log: EventLog, vm_id: str, story: str) -> VmState:
    """Live through a story as the actor does; return the live state."""
    journal = LogJournal(log)
    state = await loaded(log, vm_id)
    for message in STORIES[story]:
        events = decide(state, message, state.seen_ms).events
        for event, stamp in zip(events, await journal.append(state, events, CAUSE), strict=True):
            state = evolve(state, event, stamp.at_ms)
    return state


def test_every_event_has_a_tag_and_can_be_read_again() -> None:
    assert set(TAGS) == {*get_args(vm.Event), *get_args(admission.Event)}
    assert len(set(TAGS.values())) == len(TAGS)


@pytest.mark.parametrize("story", STORIES)
def test_the_words_of_a_life_survive_their_bytes(story: str) -> None:
    life = Life()
    for message in STORIES[story]:
        life.meet(message)
    assert [encode(decode(r), r.stream, r.tenant, CAUSE).payload for r in life.records] == [
        record.payload for record in life.records
    ]


async def test_replaying_the_files_gives_the_live_states(tmp_path: Path) -> None:
    stories = ["computing", "stopped", "failed", "deleted", "defined"]
    async with log_with(tmp_path, stories) as log:
        states = {story: await live(log, story, story) for story in stories}
        for story, state in states.items():
            assert await load_vm(log, story) == state
    del states["deleted"]
    assert replay(read_log(tmp_path)).vms == states


async def test_a_second_writer_of_a_vm_is_refused(tmp_path: Path) -> None:
    async with log_with(tmp_path, ["iris"]) as log:
        stale = await loaded(log, "iris")
        await live(log, "iris", "launching")
        with pytest.raises(WrongExpectedVersion):
            await LogJournal(log).append(stale, (vm.PauseOrdered(1),), CAUSE)
        assert log.version(vm_stream("iris")) == 2


async def test_the_envelope_says_who_and_why(tmp_path: Path) -> None:
    async with log_with(tmp_path, ["iris"]) as log:
        state = await loaded(log, "iris")
        (stamp,) = await LogJournal(log).append(state, (vm.PauseOrdered(1),), CAUSE)
        *_, record = [record async for record in log.read()]
    assert record.event_id == stamp.event_id
    assert record.recorded_at // 1_000_000 == stamp.at_ms
    assert (record.tenant, record.principal) == ("local", "uid:1000")
    assert (record.causation_id, record.correlation_id) == ("request", "request")
    assert (record.type, record.traceparent) == ("vm.pause-ordered.v1", "00-trace")
    assert (state.tenant, state.principal) == ("local", "uid:1000")


async def test_an_event_of_a_newer_version_is_named(tmp_path: Path) -> None:
    async with open_log(tmp_path, SMALL) as log:
        stranger = NewEvent("vm/iris", "vm.teleported.v1", b"\x80", "id")
        (record,) = await log.append([stranger])
    with pytest.raises(UnknownEventError, match=r"'vm\.teleported\.v1' at position 1,.*newer"):
        decode(record)


async def test_the_host_stream_rebuilds_what_admission_knows(tmp_path: Path) -> None:
    admitted = admission.ComputationAdmitted("iris", "key-1", SHA256)
    async with open_log(tmp_path, SMALL) as log:
        await log.append([encode(admitted, HOST_STREAM, "local", CAUSE)])
    state = replay(read_log(tmp_path)).admission
    found = state.find("local", "key-1")
    assert found is not None
    assert (found.vm_id, found.request_digest) == ("iris", SHA256)
    assert state.find("another tenant", "key-1") is None
    assert state.has_taken("iris")
    assert not state.has_taken("anemone")


@pytest.mark.parametrize("story", STORIES)
def test_a_field_that_an_older_version_did_not_write_gets_its_default(story: str) -> None:
    life = Life()
    for message in STORIES[story]:
        life.meet(message)
    for record in life.records:
        defaults = {
            field.encode_name
            for field in msgspec.structs.fields(decode(record))
            if not field.required
        }
        written = msgspec.msgpack.decode(record.payload)
        older = {name: value for name, value in written.items() if name not in defaults}
        decode(_with_payload(record, msgspec.msgpack.encode(older)))


def test_a_field_of_a_newer_version_is_ignored() -> None:
    life = Life()
    written = msgspec.msgpack.decode(life.records[0].payload)
    newer = msgspec.msgpack.encode(written | {"of_the_future": 1})
    event = decode(_with_payload(life.records[0], newer))
    assert isinstance(event, vm.ComputationSubmitted)
    assert define_from(life.records[0], event) == life.state


def _with_payload(record: Record, payload: bytes) -> Record:
    return msgspec.structs.replace(record, payload=payload)
