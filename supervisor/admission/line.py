"""Who waits for a slot, in the order of their tickets."""

from bisect import bisect_left, insort
from typing import NamedTuple


class Place(NamedTuple):
    """A VM in the line."""

    ticket: int
    vm_id: str


class Line:
    """Places by their tickets; the lowest is next."""

    def __init__(self) -> None:
        self._places: list[Place] = []
        self._of: dict[str, Place] = {}

    def __len__(self) -> int:
        return len(self._places)

    def join(self, place: Place) -> None:
        """Stand where the ticket says."""
        insort(self._places, place)
        self._of[place.vm_id] = place

    def pop(self) -> str:
        """Let the first go; return its VM."""
        vm_id = self._places[0].vm_id
        self.leave(vm_id)
        return vm_id

    def leave(self, vm_id: str) -> bool:
        """Give up a VM's place; return whether it had one."""
        place = self._of.pop(vm_id, None)
        if place is not None:
            del self._places[bisect_left(self._places, place)]
        return place is not None

    def ticket(self, vm_id: str) -> int | None:
        """Return a VM's ticket, if it waits."""
        place = self._of.get(vm_id)
        return place and place.ticket

    def position(self, vm_id: str) -> int | None:
        """Return how far a VM is from its turn: 1 is next; None if it does not wait."""
        place = self._of.get(vm_id)
        return None if place is None else bisect_left(self._places, place) + 1
