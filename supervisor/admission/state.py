"""What was used up for ever: idempotency keys and ids of the ``host`` stream, owners' sessions."""

import msgspec

from eventlog.packed import PackedTable, key_of
from supervisor.admission.events import ComputationAdmitted, Event
from supervisor.vm.confidential import GuestSession

DIGEST_BYTES = 32
VM_ID_BYTES = 63
"""An id is an RFC 1123 label; :func:`supervisor.vm.rules.check_vm_id` sees to it."""

RECENT = 16_384
"""Computations kept as plain entries until they are packed: some 6 MiB of memory."""


class Admitted(msgspec.Struct, frozen=True):
    """What an idempotency key stands for."""

    vm_id: str
    request_digest: str


class PackedAdmission(msgspec.Struct, frozen=True):
    """The whole state in tables; equal states have equal bytes."""

    keys: bytes = b""
    vm_ids: bytes = b""
    sessions: bytes = b""


class AdmissionState:
    """Grows with the number of computations ever admitted, by 128 bytes each, and of sessions.

    Keys are never forgotten while their log lives: a client that retries after a week gets the VM
    it already has. All that is left of a deleted VM is its entry here, and its sessions: a secure
    processor's keys for one launch must never serve another.
    """

    def __init__(self, packed: PackedAdmission | None = None) -> None:
        packed = packed or PackedAdmission()
        self._keys = PackedTable(DIGEST_BYTES + VM_ID_BYTES, packed.keys)
        self._vm_ids = PackedTable(0, packed.vm_ids)
        self._sessions = PackedTable(0, packed.sessions)
        self._recent: dict[tuple[str, str], Admitted] = {}
        self._recent_ids: set[str] = set()
        self._recent_sessions: set[str] = set()

    def find(self, tenant: str, key: str) -> Admitted | None:
        """Return what ``tenant`` used ``key`` for, if it did."""
        if recent := self._recent.get((tenant, key)):
            return recent
        entry = self._keys.get(key_of(tenant, key))
        return None if entry is None else _unpacked(entry)

    def has_taken(self, vm_id: str) -> bool:
        """Whether there is, or was, a VM of this id."""
        return vm_id in self._recent_ids or self._vm_ids.get(key_of(vm_id)) is not None

    def has_seen(self, session: GuestSession) -> bool:
        """Whether an owner ever gave this session, for whatever VM."""
        sha256 = session.sha256
        return sha256 in self._recent_sessions or self._sessions.get(key_of(sha256)) is not None

    def see(self, session: GuestSession) -> None:
        """Take a session into account that an owner gave."""
        self._recent_sessions.add(session.sha256)
        if len(self._recent_sessions) > RECENT:
            self._settle()

    def evolve(self, event: Event, tenant: str) -> None:
        """Take one more event of the stream into account."""
        if isinstance(event, ComputationAdmitted):
            self._recent_ids.add(event.vm_id)
            admitted = Admitted(event.vm_id, event.request_digest)
            self._recent[tenant, event.idempotency_key] = admitted
            if len(self._recent) > RECENT:
                self._settle()

    def packed(self) -> PackedAdmission:
        """Return all that is known, for a snapshot."""
        self._settle()
        return PackedAdmission(self._keys.data, self._vm_ids.data, self._sessions.data)

    def _settle(self) -> None:
        keys = {key_of(*words): _packed(admitted) for words, admitted in self._recent.items()}
        self._keys = self._keys.with_entries(keys)
        self._vm_ids = self._vm_ids.with_entries({key_of(each): b"" for each in self._recent_ids})
        seen = {key_of(each): b"" for each in self._recent_sessions}
        self._sessions = self._sessions.with_entries(seen)
        self._recent, self._recent_ids, self._recent_sessions = {}, set(), set()


def _packed(admitted: Admitted) -> bytes:
    vm_id = admitted.vm_id.encode("ascii")
    return bytes.fromhex(admitted.request_digest) + vm_id.ljust(VM_ID_BYTES, b"\0")


def _unpacked(entry: bytes) -> Admitted:
    vm_id = entry[DIGEST_BYTES:].rstrip(b"\0").decode("ascii")
    return Admitted(vm_id, entry[:DIGEST_BYTES].hex())
