"""The artifacts that a client may name: those that it uploaded itself.

Digests are no secrets: events and manifests tell them to all whom a VM concerns. Who could name the
bytes of others would have a program of its own read them. Admins of a tenant share theirs.

Results lie in the same store, but they are for whom their manifests say. Whoever may fetch one may
upload it, and then it is an artifact like any other.
"""

import hashlib
from contextlib import suppress

from eventlog import EventLog, WrongExpectedVersion
from supervisor.access.roles import Reach
from supervisor.access.tokens import TENANT
from supervisor.admission.events import ArtifactStored
from supervisor.artifacts.errors import UnknownArtifact
from supervisor.artifacts.store import ArtifactStore, Stored
from supervisor.caller import Caller
from supervisor.cause import cause_of
from supervisor.journal import ARTIFACT_PREFIX, encode
from supervisor.vm.commands import CommandDenied, DenyReason, FieldViolation


class Uploads:
    """What was uploaded to the store; each principal's first upload of its bytes is an event.

    The bytes are kept once. Who knows a digest only does not get at what others brought.
    """

    def __init__(self, store: ArtifactStore, log: EventLog) -> None:
        self._store = store
        self._log = log

    def size(self, field: str, sha256: str, caller: Caller) -> int:
        """Return the size in bytes. Raises CommandDenied, naming the field, where it is not there.

        What the caller did not upload is no different from bytes that nobody has.
        """
        try:
            if not self._log.version(_stream(sha256, caller)):
                raise UnknownArtifact(sha256)
            return self._store.size(sha256)
        except UnknownArtifact as error:
            violation = FieldViolation(field, str(error))
            detail = f"{field}: {error}"
            raise CommandDenied(DenyReason.ARTIFACT_UNKNOWN, detail, (violation,)) from None

    async def record(self, stored: Stored, caller: Caller) -> None:
        """Record an upload, if it is its principal's first of its bytes."""
        stream = _stream(stored.sha256, caller)
        if self._log.version(stream):
            return
        event = ArtifactStored(stored.sha256, stored.size)
        new = encode(event, stream, caller.tenant, cause_of(caller))
        with suppress(WrongExpectedVersion):  # another upload of the same bytes came first
            await self._log.append([new], expected={stream: 0})


def _stream(sha256: str, caller: Caller) -> str:
    if caller.reach is not Reach.EVERYTHING:
        owner = hashlib.sha256(caller.principal.encode()).hexdigest()[:32]  # names are too long
        return f"{ARTIFACT_PREFIX}{sha256}/{caller.tenant}/{owner}"
    # The log of a daemon without tenants reads as it always did.
    suffix = "" if caller.tenant == TENANT else f"/{caller.tenant}"
    return f"{ARTIFACT_PREFIX}{sha256}{suffix}"
