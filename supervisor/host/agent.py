"""The conversation with a guest's agent: one socket of QEMU's, connected again whenever it breaks.

The reader waits for the mailbox, and for its own pace, so that a guest that floods is slowed by its
own full socket. Lines for the log go to a bounded file and no further.
"""

from pathlib import Path

import trio

from supervisor.host import agent_protocol as protocol
from supervisor.host.agent_protocol import AgentMessage, AgentProtocolError, LineReader
from supervisor.host.attestation import Attestation
from supervisor.host.interposing import Channel, Interpose, direct
from supervisor.host.logs import BoundedLog
from supervisor.host.progress import ProgressThrottle
from supervisor.host.report import Report
from supervisor.host.sockets import connect
from supervisor.host.text import printable
from supervisor.vm import layout
from supervisor.vm import observations as ob
from supervisor.vm.effects import RequestReport

RECONNECT_S = 0.5
"""The agent repeats itself each second, so a connection need not be back sooner."""
SEND_DEADLINE_S = 5.0
"""A line fits any socket buffer; a guest that does not read will hear it after the next repeat."""
RECEIVE_BYTES = 16384
BYTES_PER_S = 1024 * 1024
"""The pace at which one guest's lines are read: 250 full lines a second, and little of our CPU."""


class AgentChannel:
    """The agent of one launch, for as long as its QEMU lives."""

    def __init__(
        self,
        launch: int,
        directory: Path,
        log_bytes: int,
        exited: trio.Event,
        interpose: Interpose = direct,
    ) -> None:
        self._launch = launch
        self._directory = directory
        self._log_bytes = log_bytes
        self._exited = exited
        self._interpose = interpose
        self._lines = LineReader(launch)
        self._sending = trio.Lock()
        self._stream: trio.abc.Stream | None = None
        self._attestation = Attestation(launch)

    async def attend(self, report: Report) -> None:
        """Report what the agent says until QEMU exits or the agent breaks the protocol."""
        while not self._exited.is_set():
            try:
                await self._serve(report)
            except AgentProtocolError as error:
                await report(ob.AgentBrokeProtocol(self._launch, printable(str(error))))
                return
            except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # QEMU is about to die, or serves another client: tried again
            with trio.move_on_after(RECONNECT_S):
                await self._exited.wait()

    def expect_fragment(self) -> None:
        """Know that a reset of the guest cut off the line that its agent was writing."""
        self._lines.expect_fragment()

    async def send(self, line: bytes) -> None:
        """Send one line; what does not arrive is asked for again by the agent."""
        if (stream := self._stream) is None:
            return
        with trio.move_on_after(SEND_DEADLINE_S) as scope:
            async with self._sending:
                try:
                    await stream.send_all(line)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    return
        if scope.cancelled_caught:  # half a line may be on its way
            await trio.aclose_forcefully(stream)

    async def attest(self, order: RequestReport) -> ob.ReportReceived | ob.ReportRefused:
        """Have the guest fetch a report from its processor."""
        return await self._attestation.ask(order, self.send)

    async def _serve(self, report: Report) -> None:
        opened = await connect(self._directory, layout.AGENT_SOCKET)
        stream = self._interpose(Channel.AGENT, self._directory, opened)
        log = BoundedLog(self._directory / layout.GUEST_LOG, self._log_bytes)
        async with stream:
            with log:
                self._stream = stream
                try:
                    # Ends whatever half line a daemon before us left in the guest.
                    await self.send(b"\n")
                    await self._converse(
                        stream, Listener(self._launch, report, log, self._attestation)
                    )
                finally:
                    self._stream = None

    async def _converse(self, stream: trio.abc.Stream, listener: "Listener") -> None:
        self._lines = LineReader(self._launch)
        failure: AgentProtocolError | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listener.progress.run)
            try:
                while data := await stream.receive_some(RECEIVE_BYTES):
                    for message in self._lines.receive_data(data):
                        await listener.hear(message)
                    await trio.sleep(len(data) / BYTES_PER_S)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # as good as an end: the agent repeats what matters
            except AgentProtocolError as error:
                failure = error
            await listener.progress.flush()
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure


class Listener:
    """Turns the agent's messages into observations and lines of the guest's log."""

    def __init__(
        self, launch: int, report: Report, log: BoundedLog, attestation: Attestation
    ) -> None:
        self._launch = launch
        self._report = report
        self._log = log
        self._attestation = attestation
        self.progress = ProgressThrottle(report)

    async def hear(self, message: AgentMessage) -> None:
        """Pass on one message, and wait while the mailbox is full."""
        match message:
            case protocol.Log(line=line):
                self._log.write(line)
            case protocol.Progress(fraction=fraction, message=text):
                self.progress.put(ob.AgentProgress(self._launch, fraction, printable(text)))
            case protocol.Ready(seq=seq):
                await self._report(ob.AgentReady(self._launch, seq))
            case protocol.Started(seq=seq):
                await self._report(ob.AgentStarted(self._launch, seq))
            case protocol.Attested():
                self._attestation.answer(message)
            case protocol.Finished():
                await self.progress.flush()
                await self._report(self._finished(message))

    def _finished(self, message: protocol.Finished) -> ob.AgentFinished:
        return ob.AgentFinished(
            self._launch,
            message.seq,
            message.exit_code,
            message.length,
            printable(message.error),
            printable(message.message),
        )
