"""One actor per VM: one mailbox, one state, and the law in one place.

decide -> append + fsync -> fold -> answer -> start effects, in that order and nowhere else
(:meth:`VmActor._advance`). Effects run as tasks and come back as observations, so the mailbox never
waits for QEMU. Cancelling the actor leaves QEMU alone.
"""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Protocol

import msgspec
import outcome
import trio

from supervisor.caller import Caller
from supervisor.cause import Cause, cause_of
from supervisor.vm.commands import Command, CommandDenied, DenyReason
from supervisor.vm.decide import decide
from supervisor.vm.decision import Decision
from supervisor.vm.effects import Effect
from supervisor.vm.events import Event
from supervisor.vm.evolve import evolve
from supervisor.vm.observations import Observation
from supervisor.vm.recover import recover
from supervisor.vm.state import Phase, VmState

MAILBOX_SIZE = 64
"""Requests and observations of one VM that may wait; more means that the disk cannot keep up."""

Report = Callable[[Observation], Awaitable[None]]


class Host(Protocol):
    """What touches the world for one VM."""

    async def perform(self, effect: Effect, report: Report) -> None:
        """Do ``effect``; report what came of it. Expected failures are observations."""


class Journal(Protocol):
    """Where one VM's events become durable."""

    async def append(
        self, state: VmState, events: tuple[Event, ...], cause: Cause
    ) -> tuple["Stamp", ...]:
        """Append after ``state``; return one stamp an event once all of them are on the disk."""


class Core(msgspec.Struct, frozen=True):
    """The pure functions that an actor is the shell of."""

    decide: Callable[[VmState, Command | Observation, int], Decision] = decide
    recover: Callable[[VmState], tuple[Effect, ...]] = recover


CORE = Core()


class Stamp(msgspec.Struct, frozen=True):
    """What an event got when it became durable: its id, and its time in ms since the epoch."""

    event_id: str
    at_ms: int


class Request(msgspec.Struct, frozen=True):
    """A command and the place where its answer is awaited."""

    command: Command
    caller: Caller
    reply: trio.MemorySendChannel[outcome.Outcome[VmState]]


class Observed(msgspec.Struct, frozen=True):
    """An observation and what led to it."""

    observation: Observation
    cause: Cause


Message = Request | Observed


class VmRef:
    """The address of a VM: all that other parts of the daemon ever hold of it."""

    def __init__(self, state: VmState, follow: Callable[[VmState], None] | None = None) -> None:
        self._state = state
        self._follow = follow
        self.mailbox: trio.MemorySendChannel[Message] | None = None

    @property
    def state(self) -> VmState:
        """The latest durable state; only the actor replaces it, and ``follow`` is told each."""
        return self._state

    @state.setter
    def state(self, state: VmState) -> None:
        self._state = state
        if self._follow is not None:
            self._follow(state)

    async def ask(self, command: Command, caller: Caller) -> VmState:
        """Send a command; return the new state once its events are durable.

        Raises CommandDenied when the core or a full mailbox refuses.
        """
        reply, answer = trio.open_memory_channel[outcome.Outcome[VmState]](1)
        with answer:
            try:
                if self.mailbox is None:
                    raise trio.ClosedResourceError
                self.mailbox.send_nowait(Request(command, caller, reply))
                return (await answer.receive()).unwrap()
            except trio.WouldBlock:
                reply.close()
                raise _busy(f"{MAILBOX_SIZE} messages wait for VM {self.state.vm_id!r}") from None
            except (trio.BrokenResourceError, trio.ClosedResourceError, trio.EndOfChannel):
                reply.close()
                raise _busy(f"VM {self.state.vm_id!r} is being recovered") from None


def _busy(detail: str) -> CommandDenied:
    return CommandDenied(DenyReason.MAILBOX_FULL, f"{detail}; try again")


class VmActor:
    """Owns one VM's state; nobody else may change it."""

    def __init__(
        self,
        ref: VmRef,
        journal: Journal,
        host: Host,
        clock_ms: Callable[[], int],
        core: Core = CORE,
    ) -> None:
        self._ref = ref
        self._journal = journal
        self._host = host
        self._clock_ms = clock_ms
        self._core = core

    async def run(self, cause: Cause) -> None:
        """Serve the VM until it is deleted or we are cancelled; first, pick up what was left."""
        mailbox, inbox = trio.open_memory_channel[Message](MAILBOX_SIZE)
        self._ref.mailbox = mailbox
        try:
            async with mailbox, trio.open_nursery() as nursery:
                self._start(nursery, self._core.recover(self._ref.state), cause)
                while self._ref.state.phase is not Phase.DELETED:
                    effects, cause = await self._receive(await inbox.receive())
                    self._start(nursery, effects, cause)
                nursery.cancel_scope.cancel()
        finally:
            self._ref.mailbox = None
            _abandon(inbox)

    def _start(self, nursery: trio.Nursery, effects: Iterable[Effect], cause: Cause) -> None:
        mailbox = self._ref.mailbox
        assert mailbox is not None

        async def report(observation: Observation) -> None:
            await mailbox.send(Observed(observation, cause))

        for effect in effects:
            nursery.start_soon(self._host.perform, effect, report, name=type(effect).__name__)

    async def _receive(self, message: Message) -> tuple[tuple[Effect, ...], Cause]:
        if isinstance(message, Observed):
            return await self._advance(message.observation, message.cause)
        with message.reply as reply:
            try:
                advanced = await self._advance(message.command, cause_of(message.caller))
            except CommandDenied as denied:
                _answer(reply, outcome.Error(denied))
                return (), cause_of(message.caller)
            _answer(reply, outcome.Value(self._ref.state))
            return advanced

    async def _advance(
        self, message: Command | Observation, cause: Cause
    ) -> tuple[tuple[Effect, ...], Cause]:
        decision = self._core.decide(self._ref.state, message, self._clock_ms())
        if decision.events:  # durable before visible, and before any effect
            stamps = await self._journal.append(self._ref.state, decision.events, cause)
            for event, stamp in zip(decision.events, stamps, strict=True):
                self._ref.state = evolve(self._ref.state, event, stamp.at_ms)
            cause = cause.followed_by(stamps[-1].event_id)
        return decision.effects, cause


def _answer(
    reply: trio.MemorySendChannel[outcome.Outcome[VmState]], answer: outcome.Outcome[VmState]
) -> None:
    # The caller may have gone away; what it asked for is done all the same.
    with suppress(trio.BrokenResourceError):
        reply.send_nowait(answer)


def _abandon(inbox: trio.MemoryReceiveChannel[Message]) -> None:
    """Close a dying actor's inbox so that nobody waits for an answer that will not come."""
    while True:
        try:
            message = inbox.receive_nowait()
        except (trio.WouldBlock, trio.EndOfChannel):
            break
        if isinstance(message, Request):
            message.reply.close()
    inbox.close()
