"""Every word that the log ever held stays readable: the kept bytes never change, and decode."""

import hashlib
from typing import Any

import msgspec
import pytest

from eventlog import Record
from supervisor.replay import World, replay
from supervisor.schema import SCHEMA, TAGS, UPCASTERS
from supervisor.vm.state import VmState
from tests.event_samples import GOLDEN, SAMPLES, digest, golden
from tests.test_replay import lives
from tests.vm.states import STORIES

KEPT = golden()
WORLD = GOLDEN.parent / "chronovisor.world.v1.msgpack"
WORLD_HASH = "beb640df8f040248d279a14af9c33b97ff95ba513ebd76c407629d157b2f1d00"
"""SHA-256 of the kept bytes."""


def record(tag: str, payload: bytes) -> Record:
    (first, *_) = lives("defined")
    return msgspec.structs.replace(first, type=tag, payload=payload)


def test_every_tag_that_can_be_read_has_its_bytes_kept() -> None:
    assert {type(event) for event in SAMPLES} == set(TAGS)
    missing = {*TAGS.values(), *UPCASTERS} - KEPT.keys()
    assert missing == set(), "run python -m tests.event_samples, and keep what it writes for ever"


def test_no_kept_bytes_were_changed() -> None:
    found = {path.name: path.name.split(".")[-2] for path in GOLDEN.iterdir()}
    assert found == {path.name: digest(path.read_bytes()) for path in GOLDEN.iterdir()}


@pytest.mark.parametrize("tag", sorted(KEPT))
def test_kept_bytes_are_read(tag: str) -> None:
    assert type(SCHEMA.decode(record(tag, KEPT[tag]))) in TAGS


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: type(event).__name__)
def test_kept_bytes_mean_what_they_meant(event: Any) -> None:
    assert SCHEMA.decode(record(TAGS[type(event)], KEPT[TAGS[type(event)]])) == event


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: type(event).__name__)
def test_what_is_written_today_has_every_field_that_was_kept(event: Any) -> None:
    kept = msgspec.msgpack.decode(KEPT[TAGS[type(event)]])
    today = msgspec.msgpack.decode(msgspec.msgpack.encode(event))
    assert _is_within(kept, today)


def _is_within(kept: object, today: object) -> bool:
    """Fields may have been added, also to what an event holds; none was dropped or changed."""
    match kept, today:
        case dict(), dict():
            return all(key in today and _is_within(kept[key], today[key]) for key in kept)
        case list(), list() if len(kept) == len(today):
            return all(map(_is_within, kept, today))
    return kept == today


def facts(world: World) -> dict[str, VmState]:
    """Return what a base holds, without the words that its version had for an end."""
    return {vm_id: msgspec.structs.replace(vm, detail="") for vm_id, vm in world.vms.items()}


def test_a_base_of_today_stays_readable() -> None:
    world = World.decoded(WORLD.read_bytes())
    kept = [story for story in STORIES if story in {*world.vms, "deleted"}]
    assert facts(world) == facts(replay(lives(*kept)))
    assert hashlib.sha256(WORLD.read_bytes()).hexdigest() == WORLD_HASH
