"""The artifacts that a client may name: those that somebody uploaded.

Results lie in the same store, but they are for whom their manifests say. Whoever may fetch one may
upload it, and then it is an artifact like any other.
"""

from contextlib import suppress

from eventlog import EventLog, WrongExpectedVersion
from supervisor.admission.events import ArtifactStored
from supervisor.artifacts.errors import UnknownArtifact
from supervisor.artifacts.store import ArtifactStore, Stored
from supervisor.caller import Caller
from supervisor.cause import cause_of
from supervisor.journal import ARTIFACT_PREFIX, encode
from supervisor.vm.commands import CommandDenied, DenyReason, FieldViolation


class Uploads:
    """What was uploaded to the store; the first upload of its bytes is an event."""

    def __init__(self, store: ArtifactStore, log: EventLog) -> None:
        self._store = store
        self._log = log

    def size(self, field: str, sha256: str) -> int:
        """Return the size in bytes. Raises CommandDenied, naming the field, where it is not there.

        The bytes of a result that nobody uploaded are no different from bytes that nobody has.
        """
        try:
            if not self._log.version(_stream(sha256)):
                raise UnknownArtifact(sha256)
            return self._store.size(sha256)
        except UnknownArtifact as error:
            violation = FieldViolation(field, str(error))
            detail = f"{field}: {error}"
            raise CommandDenied(DenyReason.ARTIFACT_UNKNOWN, detail, (violation,)) from None

    async def record(self, stored: Stored, caller: Caller) -> None:
        """Record an upload, if it is the first of its bytes."""
        stream = _stream(stored.sha256)
        if self._log.version(stream):
            return
        event = ArtifactStored(stored.sha256, stored.size)
        new = encode(event, stream, caller.tenant, cause_of(caller))
        with suppress(WrongExpectedVersion):  # another upload of the same bytes came first
            await self._log.append([new], expected={stream: 0})


def _stream(sha256: str) -> str:
    return f"{ARTIFACT_PREFIX}{sha256}"
