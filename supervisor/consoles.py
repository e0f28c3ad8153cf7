"""Who looks at which console: the viewers of every launch, and one connection for each."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

from supervisor.host.console import Console, Viewer
from supervisor.registry import Registry
from supervisor.vm.commands import CommandDenied, DenyReason, FieldViolation
from supervisor.vm.layout import launch_directory
from supervisor.vm.state import VmState

VIEWERS = 8
"""Of one launch at once: some people, and a program that records."""


class Watched:
    """A console that is looked at."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.connection = trio.CancelScope()
        self.viewers = 0

    async def serve(self) -> None:
        """Hold the connection while there are viewers."""
        with self.connection:
            await self.console.serve()


class Consoles:
    """The consoles of all VMs; connections to them live in ``nursery``."""

    def __init__(self, registry: Registry, vms: Path, nursery: trio.Nursery) -> None:
        self._registry = registry
        self._vms = vms
        self._nursery = nursery
        self._watched: dict[tuple[str, int], Watched] = {}

    def vm(self, vm_id: str) -> VmState:
        """Return the VM whose console it is. Raises CommandDenied."""
        return self._registry.get(vm_id)

    @contextmanager
    def attach(self, vm_id: str, launch: int | None = None) -> Iterator[Viewer]:
        """Look at the console of a launch, the current one by default. Raises CommandDenied."""
        state = self._registry.get(vm_id)
        if not (number := chosen_launch(state, launch)):
            detail = f"VM {vm_id!r} is in phase {state.phase.value} and has no console yet"
            raise CommandDenied(DenyReason.WRONG_PHASE, detail)
        watched = self._watched.get((vm_id, number)) or self._watch(vm_id, number)
        if watched.viewers >= VIEWERS:
            detail = f"{VIEWERS} viewers look at the console of VM {vm_id!r}; try again later"
            raise CommandDenied(DenyReason.MAILBOX_FULL, detail)
        watched.viewers += 1
        try:
            yield watched.console.viewer()
        finally:
            watched.viewers -= 1
            if not watched.viewers:
                del self._watched[vm_id, number]
                watched.connection.cancel()

    def _watch(self, vm_id: str, launch: int) -> Watched:
        directory = self._vms / vm_id / launch_directory(launch)
        watched = Watched(Console(directory, self._is_over(vm_id, launch)))
        self._watched[vm_id, launch] = watched
        self._nursery.start_soon(watched.serve, name=f"console of {vm_id}")
        return watched

    def _is_over(self, vm_id: str, launch: int) -> Callable[[], bool]:
        def is_over() -> bool:
            try:
                state = self._registry.get(vm_id)
            except CommandDenied:
                return True  # it was deleted meanwhile
            return state.launch_number != launch or not state.has_process

        return is_over


def chosen_launch(state: VmState, launch: int | None) -> int:
    """Return the launch that is meant, 0 before the first.

    Raises CommandDenied where it is still to come.
    """
    current = state.launch_number
    if launch is None or 1 <= launch <= current:
        return current if launch is None else launch
    told = f"VM {state.vm_id!r} had no launch {launch} yet; it has had {current}"
    wrong = FieldViolation("launch", told)
    raise CommandDenied(DenyReason.INVALID_ARGUMENT, f"{wrong.field}: {told}", (wrong,))
