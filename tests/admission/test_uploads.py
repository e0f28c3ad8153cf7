"""Which stored bytes a client may name by their digest: uploaded ones, and no results."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from eventlog import EventLog, LogOptions, open_log
from supervisor.access.roles import Reach
from supervisor.admission.uploads import Uploads
from supervisor.artifacts.store import ArtifactStore, Stored
from supervisor.caller import Caller
from supervisor.vm.commands import CommandDenied, DenyReason

CALLER = Caller("uid:1000", "local", command_id="request-1")
OPTIONS = LogOptions(segment_bytes=64 * 1024)
CONTENT = b"the result of somebody else"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Desk:
    """A store with bytes that nobody uploaded."""

    def __init__(self, log: EventLog, directory: Path) -> None:
        self.log = log
        store = ArtifactStore(directory / "artifacts")
        self.uploads = Uploads(store, log)
        with store.receive(len(CONTENT)) as copy:
            copy.write(CONTENT)
            self.stored: Stored = copy.commit()

    def refusal(self, sha256: str, caller: Caller = CALLER) -> CommandDenied:
        with pytest.raises(CommandDenied) as denied:
            self.uploads.size("sha256", sha256, caller)
        return denied.value


@asynccontextmanager
async def desk(directory: Path) -> AsyncIterator[Desk]:
    async with open_log(directory / "log", OPTIONS) as log:
        yield Desk(log, directory)


async def test_a_result_is_refused_in_the_words_for_bytes_that_nobody_has(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        result, nothing = here.refusal(DIGEST), here.refusal("ab" * 32)
    assert result.reason is nothing.reason is DenyReason.ARTIFACT_UNKNOWN
    assert result.detail == nothing.detail.replace("ab" * 32, DIGEST)
    assert [violation.field for violation in result.violations] == ["sha256"]


async def test_what_was_uploaded_may_be_named_and_is_one_event(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        await here.uploads.record(here.stored, CALLER)
        await here.uploads.record(here.stored, CALLER)
        assert here.uploads.size("sha256", DIGEST, CALLER) == len(CONTENT)
        assert here.log.head == 1


async def test_what_was_uploaded_and_is_lost_is_not_there(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        await here.uploads.record(Stored("ab" * 32, 1), CALLER)
        assert here.refusal("ab" * 32).reason is DenyReason.ARTIFACT_UNKNOWN


async def test_what_one_tenant_uploaded_is_not_there_for_another(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        await here.uploads.record(here.stored, msgspec.structs.replace(CALLER, tenant="blue"))
        assert here.refusal(DIGEST).reason is DenyReason.ARTIFACT_UNKNOWN
        await here.uploads.record(here.stored, CALLER)
        assert here.uploads.size("sha256", DIGEST, CALLER) == len(CONTENT)
        assert here.log.head == 2


async def test_what_one_principal_uploaded_is_not_there_for_another_of_its_tenant(
    tmp_path: Path,
) -> None:
    other = msgspec.structs.replace(CALLER, principal="uid:1001")
    admin = msgspec.structs.replace(CALLER, principal="uid:0", reach=Reach.EVERYTHING)
    async with desk(tmp_path) as here:
        await here.uploads.record(here.stored, CALLER)
        assert here.refusal(DIGEST, other).reason is DenyReason.ARTIFACT_UNKNOWN
        assert here.refusal(DIGEST, admin).reason is DenyReason.ARTIFACT_UNKNOWN
        await here.uploads.record(here.stored, other)
        assert here.uploads.size("sha256", DIGEST, other) == len(CONTENT)


async def test_admins_of_a_tenant_share_what_they_uploaded(tmp_path: Path) -> None:
    one = msgspec.structs.replace(CALLER, principal="uid:0", reach=Reach.EVERYTHING)
    other = msgspec.structs.replace(one, principal="token:default")
    async with desk(tmp_path) as here:
        await here.uploads.record(here.stored, one)
        assert here.uploads.size("sha256", DIGEST, other) == len(CONTENT)
        stranger = msgspec.structs.replace(other, tenant="blue")
        assert here.refusal(DIGEST, stranger).reason is DenyReason.ARTIFACT_UNKNOWN
