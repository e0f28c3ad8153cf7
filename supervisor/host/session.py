"""Attending one live QEMU until it is gone; cancelled before that, QEMU is left alone."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from supervisor.host.agent import AgentChannel
from supervisor.host.contact import WATCHED, Contact, Patience
from supervisor.host.flight_recorder import FlightRecorder
from supervisor.host.interposing import Interpose, direct
from supervisor.host.last_words import exit_evidence
from supervisor.host.logs import bound_logs
from supervisor.host.process import Process
from supervisor.host.report import Report
from supervisor.vm.effects import Reattach, SpawnQemu
from supervisor.vm.guest_agent import ReferenceAgent
from supervisor.vm.observations import GuestReady, GuestWasReset, Observation, ProcessExited

DRAIN_DEADLINE_S = 10.0
"""Their last words lie in socket buffers of some 200 KiB, and are read before the end is told."""


class Session:
    """A process that is proven to be the launch's, and everything that it says."""

    def __init__(
        self,
        order: SpawnQemu | Reattach,
        process: Process,
        patience: Patience,
        interpose: Interpose = direct,
    ) -> None:
        self.launch = order.launch
        self.process = process
        self.directory = Path(order.directory)
        self._log_bytes = order.log_bytes
        self._exited = trio.Event()
        self._speakers: trio.Nursery | None = None
        tapped = FlightRecorder(self.directory).recording(interpose)
        self.contact = Contact(
            order.launch,
            self.directory,
            order.uuid,
            process.identity,
            self._exited,
            patience,
            tapped,
        )
        self.agent: AgentChannel | None = None
        """None where the agent is the guest's own, and speaks with others."""
        if isinstance(order.agent, ReferenceAgent):
            self.agent = AgentChannel(
                order.launch, self.directory, order.log_bytes, self._exited, tapped
            )
        self._waiting = trio.CancelScope()

    async def attend(
        self, report: Report, first_contact: Callable[[Report], Awaitable[None]]
    ) -> None:
        """Report what QEMU and its guest say, and last of all its end -> ..., ProcessExited."""
        async with trio.open_nursery() as speakers:
            self._speakers = speakers
            speakers.start_soon(first_contact, self._heard(report))
            if self.agent is not None:
                speakers.start_soon(self.agent.attend, report)
            speakers.start_soon(bound_logs, self.directory, self._log_bytes, self._exited)
            status = await self.process.wait_exited()
            self._exited.set()
            speakers.cancel_scope.deadline = trio.current_time() + DRAIN_DEADLINE_S
        await report(ProcessExited(self.launch, exit_evidence(status, self.directory)))

    async def await_ready(
        self, ready: Callable[[], Awaitable[None]], observation: GuestReady, report: Report
    ) -> None:
        """Report ``observation`` once ``ready`` returns; gives up an earlier wait -> GuestReady."""
        self._waiting.cancel()
        with trio.CancelScope() as self._waiting:
            await _first_of(ready, self._exited.wait)
            if not self._exited.is_set():
                await report(observation)

    def resume_contact(self, report: Report) -> None:
        """Try QMP again -> Reattached | ProcessSilent; the process was never out of sight."""
        if self._speakers is not None and not self._exited.is_set():
            self._speakers.start_soon(self.contact.resume, self._heard(report), (WATCHED,))

    def _heard(self, report: Report) -> Report:
        async def hear(observation: Observation) -> None:
            if isinstance(observation, GuestWasReset) and self.agent is not None:
                self.agent.expect_fragment()
            await report(observation)

        return hear


async def _first_of(*waits: Callable[[], Awaitable[None]]) -> None:
    """Wait until one of ``waits`` is over."""

    async def wait(one: Callable[[], Awaitable[None]]) -> None:
        await one()
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for one in waits:
            nursery.start_soon(wait, one)
