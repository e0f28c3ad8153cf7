"""What the API needs of the daemon. The daemon implements it; tests do so in memory."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, runtime_checkable

from eventlog import CaughtUp, Record
from eventlog.checkpoint import SignedCheckpoint
from supervisor.caller import Caller
from supervisor.vm.commands import Command
from supervisor.vm.confidential import GuestSession
from supervisor.vm.inputs import InputName
from supervisor.vm.spec import Manifest
from supervisor.vm.state import Result, VmState


class Submitted(Protocol):
    """A computation that was accepted, now or (``reused``) by an earlier request with its key."""

    @property
    def state(self) -> VmState: ...
    @property
    def reused(self) -> bool: ...


class Stored(Protocol):
    """An artifact that is durable; ``size`` in bytes."""

    @property
    def sha256(self) -> str: ...
    @property
    def size(self) -> int: ...


class Transcript(Protocol):
    """What was said on QMP in a launch, as lines of JSON."""

    @property
    def launch(self) -> int: ...
    @property
    def content(self) -> bytes: ...


class Viewer(Protocol):
    """One who looks at a console, and may type."""

    async def receive(self) -> bytes:
        """Return what comes next; nothing once the launch is over. Raises OSError."""

    async def send(self, data: bytes) -> None:
        """Type. Raises InputNotTaken."""


class ConsoleSource(Protocol):
    """The consoles of all VMs."""

    def vm(self, vm_id: str) -> VmState:
        """Return whose console it is. Raises CommandDenied."""
        ...

    def attach(self, vm_id: str, launch: int | None = None) -> AbstractContextManager[Viewer]:
        """Look at the console of a launch, the current one by default. Raises CommandDenied."""


class SevPlatform(Protocol):
    """The host's secure processor as QMP tells of it; certificates and id in base64."""

    @property
    def pdh(self) -> str: ...
    @property
    def cert_chain(self) -> str: ...
    @property
    def cpu0_id(self) -> str: ...
    @property
    def cbitpos(self) -> int: ...
    @property
    def reduced_phys_bits(self) -> int: ...


@runtime_checkable
class Unavailable(Protocol):
    """There is no secure processor that could be used."""

    @property
    def why(self) -> str: ...


class Report(Protocol):
    """What came of asking a launch for a report: the report, or else why there is none."""

    @property
    def launch(self) -> int: ...
    @property
    def report(self) -> bytes: ...
    @property
    def refused(self) -> str: ...


class Followed(Protocol):
    """A log from a position on, without end: item by item, or what there is in one go."""

    def __aiter__(self) -> AsyncIterator[Record | CaughtUp]: ...
    async def __anext__(self) -> Record | CaughtUp: ...
    async def take(self) -> Sequence[Record | CaughtUp]:
        """Return the next items, waiting where there are none yet."""
        ...


class Log(Protocol):
    """The part of :class:`eventlog.EventLog` that subscribers need."""

    @property
    def log_id(self) -> str: ...
    @property
    def node_id(self) -> str: ...
    @property
    def first(self) -> int: ...
    @property
    def head(self) -> int: ...
    def subscribe(self, after: int = 0) -> Followed: ...


class Checkpoints(Protocol):
    """The log's signatures."""

    @property
    def verifier_key(self) -> str: ...
    async def fresh(self) -> SignedCheckpoint: ...


class Supervisor(Protocol):
    """The daemon. Each method may raise :class:`~supervisor.vm.commands.CommandDenied`."""

    @property
    def log(self) -> Log: ...
    @property
    def checkpoints(self) -> Checkpoints: ...

    async def submit(
        self, manifest: Manifest, *, key: str, vm_id: str | None, caller: Caller
    ) -> Submitted:
        """Accept a computation durably, or find the one that ``key`` stands for."""
        ...

    def get(self, vm_id: str) -> VmState:
        """Return one VM's state."""
        ...

    def list(self) -> Iterable[VmState]:
        """Return every VM's state, sorted by id; deleted ones may be left out."""
        ...

    def queue_position(self, vm_id: str) -> int | None:
        """Return how far a VM is from its turn to launch; 1 is next, None waits for no turn."""
        ...

    async def command(self, vm_id: str, command: Command, caller: Caller) -> VmState:
        """Return the state once what the command led to is durable."""
        ...

    async def platform(self) -> SevPlatform | Unavailable:
        """Ask the host for its secure processor."""
        ...

    async def provide_session(self, vm_id: str, session: GuestSession, caller: Caller) -> VmState:
        """Keep an owner's session for a VM's next launch; no session is taken twice."""
        ...

    async def report(self, vm_id: str, nonce: bytes, caller: Caller) -> Report:
        """Have the secure processor report on a guest that runs."""
        ...

    async def upload(
        self, chunks: AsyncIterator[bytes], *, sha256: str | None, caller: Caller
    ) -> Stored:
        """Store the bytes durably; nothing is kept if ``chunks`` raises or is cut short."""
        ...

    async def provide_input(
        self, vm_id: str, name: InputName, sha256: str, caller: Caller
    ) -> VmState:
        """Bring an input that a VM awaits, and that was uploaded, from its provider."""
        ...

    def open_result(self, vm_id: str, caller: Caller) -> tuple[Path, Result]:
        """Return where the bytes of a VM's result lie, and what they must be."""
        ...

    def console(self, vm_id: str, launch: int | None = None) -> Path:
        """Return the console log of a launch, or of the current one; it need not exist."""
        ...

    async def transcript(self, vm_id: str, launch: int | None) -> Transcript:
        """Return what was said on QMP in a launch; None is the current one."""
        ...

    def guest_log(self, vm_id: str, launch: int | None = None) -> Path:
        """Return what the algorithm printed in a launch, or the current one; it need not exist."""
        ...
