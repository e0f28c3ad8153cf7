"""How many VMs there may be, all together and of one principal.

A VM counts from the moment in which its submission is sent to the disk until it is deleted: what is
on its way counts, so that a thousand submissions at once are not each the last one that fits.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from supervisor.caller import Caller
from supervisor.config import Capacity
from supervisor.vm.commands import CommandDenied, DenyReason


class Vms(Protocol):
    """The VMs that were not deleted."""

    def count(self) -> int:
        """Return how many there are."""

    def count_of(self, tenant: str, principal: str) -> int:
        """Return how many of them a principal submitted."""


class Quotas:
    """Refuses what is too much."""

    def __init__(self, capacity: Capacity, vms: Vms) -> None:
        self._capacity = capacity
        self._vms = vms
        self._on_their_way: Counter[tuple[str, str]] = Counter()

    def check(self, caller: Caller) -> None:
        """Raise CommandDenied if there may be no further VM of this caller."""
        most, most_each = self._capacity.max_vms, self._capacity.max_vms_per_principal
        if self._vms.count() + self._on_their_way.total() >= most:
            detail = f"there are as many VMs as may be, {most}; delete some that have ended"
            raise CommandDenied(DenyReason.TOO_MANY_VMS, detail)
        owner = (caller.tenant, caller.principal)
        owned = self._vms.count_of(*owner) + self._on_their_way[owner]
        if most_each is not None and owned >= most_each:
            detail = (
                f"{caller.principal} has as many VMs as one principal may have, {most_each}; "
                "delete some of them that have ended"
            )
            raise CommandDenied(DenyReason.QUOTA_EXCEEDED, detail)

    @contextmanager
    def counting(self, caller: Caller) -> Iterator[None]:
        """Count a submission while it is on its way."""
        owner = (caller.tenant, caller.principal)
        self._on_their_way[owner] += 1
        try:
            yield
        finally:
            self._on_their_way[owner] -= 1
            if not self._on_their_way[owner]:
                del self._on_their_way[owner]
