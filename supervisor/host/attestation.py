"""Reports that a guest fetches from its own processor: asked over its agent, one answer for each.

A guest that answers what nobody asked is ignored, so it can fill no log with reports.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable

import trio

from supervisor.host import agent_protocol
from supervisor.host.agent_protocol import Attested
from supervisor.host.text import printable
from supervisor.vm import observations as ob
from supervisor.vm.effects import RequestReport

DEADLINE_S = 20.0
"""The processor takes milliseconds; a driver that limits its rate, some seconds."""
WAITING_MOST = 16
"""Requests at a time; each is a client's, who waits for its answer."""
DETAIL_CHARACTERS = 256

Send = Callable[[bytes], Awaitable[None]]


class Attestation:
    """The reports that one launch was asked for and has not given yet."""

    def __init__(self, launch: int) -> None:
        self._launch = launch
        self._waiting: dict[str, _Answer] = {}

    async def ask(self, order: RequestReport, send: Send) -> ob.ReportReceived | ob.ReportRefused:
        """Ask the agent, and wait for its answer until the deadline."""
        if len(self._waiting) >= WAITING_MOST:
            return self._refused(order, f"{WAITING_MOST} other reports are awaited")
        # Whoever asks with the same nonce meanwhile gets the same report.
        answer = self._waiting.setdefault(order.nonce.hex(), _Answer())
        try:
            with trio.move_on_after(DEADLINE_S):
                await send(agent_protocol.attest(self._launch, order.nonce))
                return self._outcome(order, await answer.wait())
        finally:
            self._waiting.pop(order.nonce.hex(), None)
        return self._refused(order, f"the guest's agent gave no report within {DEADLINE_S:g} s")

    def answer(self, message: Attested) -> None:
        """Give an answer to whoever waits for it."""
        if (waiting := self._waiting.get(message.nonce)) is not None:
            waiting.give(message)

    def _outcome(
        self, order: RequestReport, message: Attested
    ) -> ob.ReportReceived | ob.ReportRefused:
        if message.error or not message.report:
            why = printable(f"{message.error or 'empty'}: {message.message}")
            return self._refused(order, f"the guest has no report ({why[:DETAIL_CHARACTERS]})")
        try:
            report = base64.b64decode(message.report, validate=True)
        except (binascii.Error, ValueError):
            return self._refused(order, "the guest's report is not base64")
        return ob.ReportReceived(order.launch, order.nonce, report)

    def _refused(self, order: RequestReport, why: str) -> ob.ReportRefused:
        return ob.ReportRefused(order.launch, order.nonce, why)


class _Answer:
    """What a guest answers; the first answer counts."""

    def __init__(self) -> None:
        self._given = trio.Event()
        self._message: Attested

    def give(self, message: Attested) -> None:
        if not self._given.is_set():
            self._message = message
            self._given.set()

    async def wait(self) -> Attested:
        await self._given.wait()
        return self._message
