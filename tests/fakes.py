"""Small fakes behind the actor's ports; the fake host is tests/host/fake_host.py."""

from collections.abc import Sequence

import trio

from supervisor.actor import Report, Stamp
from supervisor.cause import Cause
from supervisor.vm.effects import Effect
from supervisor.vm.events import Event
from supervisor.vm.observations import Observation
from supervisor.vm.state import VmState
from tests.vm.states import NOW


class Gate:
    """Something that lets tasks through while it is open."""

    def __init__(self) -> None:
        self._opened = trio.Event()
        self._opened.set()

    def close(self) -> None:
        """Let nobody through until ``open``."""
        self._opened = trio.Event()

    def open(self) -> None:
        """Let everybody through."""
        self._opened.set()

    async def pass_through(self) -> None:
        """Wait until the gate is open."""
        await self._opened.wait()


class MemoryJournal:
    """A journal in memory whose disk may be slow (``disk``) or break (``failure``)."""

    def __init__(self) -> None:
        self.disk = Gate()
        self.failure: Exception | None = None
        self.events: list[Event] = []
        self.causes: list[Cause] = []

    async def append(
        self, state: VmState, events: Sequence[Event], cause: Cause
    ) -> tuple[Stamp, ...]:
        """Keep the events once the disk lets us."""
        await self.disk.pass_through()
        if self.failure is not None:
            raise self.failure
        first = len(self.events)
        self.events.extend(events)
        self.causes.extend([cause] * len(events))
        return tuple(Stamp(f"event-{first + index}", NOW) for index in range(len(events)))

    @property
    def told(self) -> list[str]:
        """The names of the events that are on the disk, in order."""
        return [type(event).__name__ for event in self.events]


class SilentHost:
    """A host that begins every effect and finishes none; the test reports what it likes."""

    def __init__(self) -> None:
        self.performed: list[Effect] = []
        self.cancelled: list[Effect] = []
        self.failure: Exception | None = None
        self._report: Report | None = None

    async def perform(self, effect: Effect, report: Report) -> None:
        """Begin; end only with the actor."""
        self.performed.append(effect)
        self._report = report
        if self.failure is not None:
            raise self.failure
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            self.cancelled.append(effect)
            raise

    async def report(self, observation: Observation) -> None:
        """Say what came of the effect that was begun last."""
        assert self._report is not None
        await self._report(observation)

    @property
    def asked(self) -> list[str]:
        """The names of the effects that were begun, in order."""
        return [type(effect).__name__ for effect in self.performed]
