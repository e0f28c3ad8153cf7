"""The fold of the ``host`` stream: keys that were used and ids that are taken."""

import msgspec

from supervisor.admission.events import ComputationAdmitted, Event


class Admitted(msgspec.Struct, frozen=True):
    """What an idempotency key stands for."""

    vm_id: str
    request_digest: str


class AdmissionState:
    """Grows with the number of computations ever admitted, about 300 bytes each.

    Keys are never forgotten while their log lives: a client that retries after a week gets the VM
    it already has.
    """

    def __init__(self) -> None:
        self.vm_ids: set[str] = set()
        self._keys: dict[tuple[str, str], Admitted] = {}

    def find(self, tenant: str, key: str) -> Admitted | None:
        """Return what ``tenant`` used ``key`` for, if it did."""
        return self._keys.get((tenant, key))

    def evolve(self, event: Event, tenant: str) -> None:
        """Take one more event of the stream into account."""
        if isinstance(event, ComputationAdmitted):
            self.vm_ids.add(event.vm_id)
            admitted = Admitted(event.vm_id, event.request_digest)
            self._keys[tenant, event.idempotency_key] = admitted
