"""No session is taken twice: not by two at once, not after a restart, not after a deletion."""

import base64
from pathlib import Path

import msgspec
import pytest
import trio

from eventlog import open_log, read_log
from supervisor.admission.sessions import Sessions
from supervisor.admission.state import RECENT, AdmissionState
from supervisor.caller import Caller
from supervisor.cause import cause_of
from supervisor.journal import encode, vm_stream
from supervisor.replay import World, replay
from supervisor.vm.attestation_events import SessionProvided
from supervisor.vm.commands import CommandDenied, DenyReason
from supervisor.vm.confidential import GuestSession, Sev
from supervisor.vm.events import VmDeleted
from supervisor.vm.spec import ByName, Manifest, VmShape
from tests.test_admission import SMALL, office
from tests.vm.states import MANIFEST


def session(number: int) -> GuestSession:
    blob = number.to_bytes(128, "big")
    return GuestSession(base64.b64encode(b"c" * 2084).decode(), base64.b64encode(blob).decode())


def confidential(number: int) -> Manifest:
    shape = VmShape(firmware=ByName("ovmf"))
    return msgspec.structs.replace(MANIFEST, vm=shape, confidential=Sev(3, session(number)))


def assert_reused(denied: CommandDenied, field: str = "confidential.session") -> None:
    assert denied.reason is DenyReason.SESSION_REUSED
    assert [wrong.field for wrong in denied.violations] == [field]


async def test_a_session_is_taken_once(tmp_path: Path) -> None:
    async with office(tmp_path) as desk:
        first = await desk.submit(confidential(1))
        assert_reused(await desk.refused(confidential(1), key="key-2"))
        again = await desk.submit(confidential(1))
        await desk.submit(confidential(2), key="key-2")
    assert (first.vm_id, again.reused) == (again.vm_id, True)


async def test_of_two_at_once_one_wins(tmp_path: Path) -> None:
    taken, refused = [], []

    async with office(tmp_path) as desk:

        async def submit(key: str) -> None:
            try:
                taken.append(await desk.submit(confidential(1), key=key))
            except CommandDenied as denied:
                refused.append(denied)

        async with trio.open_nursery() as nursery:
            for number in range(4):
                nursery.start_soon(submit, f"key-{number}")
    assert len(taken) == 1
    assert len(refused) == 3
    for denied in refused:
        assert_reused(denied)


async def test_a_restart_forgets_no_session(tmp_path: Path) -> None:
    async with office(tmp_path) as desk:
        await desk.submit(confidential(1))
    async with office(tmp_path) as desk:
        assert_reused(await desk.refused(confidential(1), key="key-2"))


async def test_sessions_of_deleted_vms_are_remembered_through_a_snapshot(tmp_path: Path) -> None:
    async with office(tmp_path) as desk:
        taken = await desk.submit(confidential(1))
    stream, cause = vm_stream(taken.vm_id), cause_of(Caller("uid:0", "local"))
    later: tuple[SessionProvided | VmDeleted, ...] = (SessionProvided(2, session(2)), VmDeleted(1))
    async with open_log(tmp_path, SMALL) as log:
        await log.append([encode(event, stream, "local", cause) for event in later])
    world = World.decoded(replay(read_log(tmp_path)).encoded())
    assert taken.vm_id not in world.vms
    assert [world.admission.has_seen(session(number)) for number in (1, 2, 3)] == [
        True,
        True,
        False,
    ]


def test_a_session_that_was_refused_is_free() -> None:
    sessions = Sessions(AdmissionState())
    refusal = CommandDenied(DenyReason.WRONG_PHASE, "not now")
    with pytest.raises(CommandDenied, match="not now"), sessions.claimed(session(1), "session"):
        raise refusal
    with sessions.claimed(session(1), "session"):
        pass
    with pytest.raises(CommandDenied) as denied, sessions.claimed(session(1), "session"):
        pytest.fail("it was taken twice")
    assert_reused(denied.value, "session")


@pytest.mark.parametrize(
    "broken", [CommandDenied(DenyReason.MAILBOX_FULL, "recovering"), KeyError("lost")], ids=repr
)
def test_a_session_that_may_be_in_the_log_is_used_up(broken: Exception) -> None:
    sessions = Sessions(AdmissionState())
    with pytest.raises(type(broken)), sessions.claimed(session(1), "session"):
        raise broken
    with pytest.raises(CommandDenied) as denied, sessions.claimed(session(1), "session"):
        pytest.fail("it was taken twice")
    assert_reused(denied.value, "session")


def test_many_sessions_are_packed_and_found() -> None:
    state = AdmissionState()
    for number in range(RECENT + 2):
        state.see(session(number))
    assert all(state.has_seen(session(number)) for number in (0, RECENT, RECENT + 1))
    assert AdmissionState(state.packed()).has_seen(session(7))
    assert not state.has_seen(session(RECENT + 2))
