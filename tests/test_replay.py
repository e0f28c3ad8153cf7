"""The fold of a whole log: one state from every start, and only what needs it is stopped."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog import LogOptions, NewEvent, Record, open_log, read_log
from supervisor.admission import events as admission
from supervisor.admission.state import AdmissionState, Admitted
from supervisor.journal import HOST_STREAM, encode, vm_stream
from supervisor.replay import Replay, ReplayError, World, evolved, replay
from supervisor.schema import SCHEMA, TAGS, Schema, UnknownEventError, Upcast
from supervisor.vm import events as vm
from supervisor.vm.state import VmState
from tests.test_journal import CAUSE
from tests.vm.life import Life
from tests.vm.states import MANIFEST, MANIFESTS, SHA256, STATES, STORIES

SMALL = LogOptions(segment_bytes=64 * 1024)


def lives(*stories: str) -> list[Record]:
    """The events of one VM per story, named after it, one after another."""
    records: list[Record] = []
    for story in stories:
        life = Life(MANIFESTS.get(story, MANIFEST))
        for message in STORIES[story]:
            life.meet(message)
        for record in life.records:
            placed = msgspec.structs.replace(
                record, position=len(records) + 1, stream=vm_stream(story)
            )
            records.append(placed)
    return records


def test_a_state_survives_its_encoding_whole() -> None:
    world = replay(lives(*STORIES))
    again = World.decoded(world.encoded())
    assert again.vms == world.vms
    assert set(world.vms) == set(STORIES) - {"deleted"}
    assert again.encoded() == world.encoded()
    assert again.digest() == world.digest()


@given(st.sampled_from(sorted(STORIES)), st.data())
def test_folding_in_two_parts_gives_the_same_hash_wherever_they_are_parted(
    story: str, data: st.DataObject
) -> None:
    records = lives("computing", story)
    cut = data.draw(st.integers(0, len(records)))
    first = replay(records[:cut])
    later = Replay(World.decoded(first.encoded()), cut)
    for record in records[cut:]:
        later.take(record)
    assert later.conclude().digest() == replay(records).digest()


def test_the_hash_tells_states_apart() -> None:
    assert len({replay(lives(story)).digest() for story in ("computing", "paused", "asked")}) == 3


def test_a_deleted_vm_leaves_nothing_in_the_fold() -> None:
    assert replay(lives("deleted")).encoded() == World().encoded()
    state: VmState | None = None
    for record in lives("deleted"):
        state = evolved(state, record)
    assert state is not None
    assert state.phase is STATES["deleted"].phase


@pytest.mark.parametrize(
    "stranger",
    [
        ("vm.teleported.v1", b"\x80"),
        ("vm.agent-ready.v1", msgspec.msgpack.encode({"launch": "one"})),
        ("vm.agent-ready.v1", b"\xc1"),
        ("vm.guest-resumed.v1", msgspec.msgpack.encode({"launch": 1})),
    ],
    ids=["unknown tag", "payload of another type", "no payload", "impossible here"],
)
def test_an_event_that_cannot_be_folded_stops_its_vm_and_no_other(
    stranger: tuple[str, bytes],
) -> None:
    records = lives("stopped", "computing")
    tag, payload = stranger
    last = next(r for r in reversed(records) if r.stream == vm_stream("stopped"))
    odd = msgspec.structs.replace(last, position=99, type=tag, payload=payload)
    world = replay([*records, odd])
    assert set(world.vms) == {"computing"}
    assert world.vms["computing"] == replay(records).vms["computing"]
    assert (world.unavailable["stopped"].position, world.unavailable["stopped"].type) == (99, tag)
    assert f"{tag!r} at position 99" in world.unavailable["stopped"].why


def test_what_follows_an_unknown_event_is_not_guessed_until_the_vm_is_deleted() -> None:
    records = lives("deleted")
    strange = [
        msgspec.structs.replace(r, type="vm.x.v1") if r.type == TAGS[vm.QmpReady] else r
        for r in records
    ]
    assert set(replay(strange[:-1]).unavailable) == {"deleted"}
    assert replay(strange).unavailable == {}
    assert replay(strange).encoded() == replay(records).encoded()


async def test_an_unknown_event_of_the_host_stops_the_admission_only(tmp_path: Path) -> None:
    async with open_log(tmp_path, SMALL) as log:
        before = admission.ComputationAdmitted("iris", "key-1", SHA256)
        submitted = vm.ComputationSubmitted(MANIFEST, SHA256)
        await log.append([encode(before, HOST_STREAM, "local", CAUSE)])
        await log.append([NewEvent(HOST_STREAM, "host.quota-set.v1", b"\x80", "id")])
        await log.append([encode(submitted, vm_stream("iris"), "local", CAUSE)])
    world = replay(read_log(tmp_path))
    assert world.host is not None
    assert (world.host.position, world.host.type) == (2, "host.quota-set.v1")
    assert set(world.vms) == {"iris"}
    assert world.admission.find("local", "key-1") == Admitted("iris", SHA256)


def test_events_of_other_streams_are_nobodys_business() -> None:
    (record, *_) = lives("defined")
    artifact = msgspec.structs.replace(record, stream="artifact/ab", type="artifact.moved.v9")
    assert replay([artifact]).encoded() == World().encoded()


def test_a_state_of_another_form_is_refused() -> None:
    with pytest.raises(ReplayError, match="cannot be read"):
        World.decoded(b"\x80")
    kept = msgspec.msgpack.decode(World().encoded()) | {"format": "chronovisor.world.v9"}
    with pytest.raises(ReplayError, match=r"'chronovisor\.world\.v9'"):
        World.decoded(msgspec.msgpack.encode(kept))


def test_a_log_without_its_beginning_and_without_a_base_is_not_guessed() -> None:
    with pytest.raises(ReplayError, match="was archived"):
        replay(lives("computing")[3:])


words = st.text("abc", min_size=1, max_size=2)


@given(st.lists(st.tuples(words, words, st.integers(0, 99)), max_size=30), st.data())
def test_admission_is_the_same_at_rest_and_in_use(
    taken: list[tuple[str, str, int]], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(taken)))
    state, plain = AdmissionState(), AdmissionState()
    for number, (tenant, key, vm_number) in enumerate(taken):
        if number == cut:
            state = AdmissionState(state.packed())
        event = admission.ComputationAdmitted(f"vm-{vm_number}", key, SHA256)
        state.evolve(event, tenant)
        plain.evolve(event, tenant)
    expected = {(t, k): Admitted(f"vm-{n}", SHA256) for t, k, n in taken}
    for (tenant, key), admitted in expected.items():
        assert state.find(tenant, key) == plain.find(tenant, key) == admitted
        assert state.has_taken(admitted.vm_id)
    assert state.find("another", "key") is None
    assert not state.has_taken("vm-100")
    assert state.packed() == plain.packed()


class Moved(msgspec.Struct, frozen=True):
    """The newest form of an event that had two forms before."""

    launch: int
    place: str


MOVES = Schema(
    {Moved: "vm.moved.v3"},
    {
        "vm.moved.v1": Upcast("vm.moved.v2", lambda old: {"launch": 1, **old}),
        "vm.moved.v2": Upcast(
            "vm.moved.v3", lambda old: {"launch": old["launch"], "place": f"host {old['host']}"}
        ),
    },
)


@pytest.mark.parametrize(
    ("tag", "payload"),
    [
        ("vm.moved.v1", {"host": "b"}),
        ("vm.moved.v2", {"launch": 1, "host": "b"}),
        ("vm.moved.v3", {"launch": 1, "place": "host b"}),
    ],
)
def test_old_words_are_read_as_the_newest(tag: str, payload: dict[str, object]) -> None:
    (record, *_) = lives("defined")
    old = msgspec.structs.replace(record, type=tag, payload=msgspec.msgpack.encode(payload))
    assert MOVES.decode(old) == Moved(1, "host b")


def test_an_upcaster_that_meets_something_else_makes_the_event_unreadable() -> None:
    (record, *_) = lives("defined")
    for payload in (b"\x80", b"\x90", b"\xc1"):
        odd = msgspec.structs.replace(record, type="vm.moved.v2", payload=payload)
        with pytest.raises(UnknownEventError, match="does not have the form"):
            MOVES.decode(odd)


def test_a_tag_that_is_written_cannot_be_old_as_well() -> None:
    with pytest.raises(ValueError, match="both written and old"):
        Schema({Moved: "vm.moved.v1"}, MOVES._upcasters)
    assert SCHEMA.digest != MOVES.digest
