"""The clients of one life: each request is a task, and what is answered goes into the ledger."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from math import inf
from random import Random

import msgspec
import trio

from supervisor.caller import Caller
from supervisor.service import Service
from supervisor.vm.commands import (
    Command,
    CommandDenied,
    Delete,
    DenyReason,
    Kill,
    Pause,
    Reset,
    Resume,
    Start,
    Stop,
)
from supervisor.vm.spec import (
    MINUTE_MS,
    SECOND_MS,
    Algorithm,
    Forward,
    Limits,
    Manifest,
    Network,
    NetworkMode,
    RestartOn,
    RestartPolicy,
)
from supervisor.vm.state import VmState
from tests.simulation.capacity import CAPACITY
from tests.simulation.life import Life
from tests.simulation.violation import Violation

TENANT = "tenant"
HASTY = 0.15
"""How many clients do not wait for their answer."""

COMMANDS: tuple[type[Stop | Kill | Delete | Start | Reset | Pause | Resume], ...] = (
    *(Stop, Kill, Delete, Start, Reset),
    *(Pause, Pause, Resume, Resume, Start),
)

RESTARTED = RestartPolicy(RestartOn.FAILURE, 2, MINUTE_MS, SECOND_MS, 4 * SECOND_MS)
KEPT_GOING = RestartPolicy(RestartOn.ALWAYS, 1, MINUTE_MS, 3 * SECOND_MS, 8 * SECOND_MS)
REACHED = Network(NetworkMode.RESTRICTED, (Forward(80),))
REACHED_AT = Network(NetworkMode.RESTRICTED, (Forward(80, 8001),))


def _manifest(
    number: int, ttl_s: int, deadline_s: int, grace_s: int, restart: RestartPolicy, network: Network
) -> Manifest:
    return Manifest(
        name=f"computation-{number}",
        algorithm=Algorithm(f"{number:x}" * 64),
        limits=Limits(
            ttl_ms=ttl_s * SECOND_MS,
            launch_deadline_ms=deadline_s * SECOND_MS,
            stop_grace_ms=grace_s * SECOND_MS,
        ),
        restart=restart,
        network=network,
    )


MANIFESTS = (
    _manifest(0, 20, 30, 2, RestartPolicy(), Network()),
    _manifest(1, 60, 15, 10, RESTARTED, REACHED),
    _manifest(2, 30, 40, 5, KEPT_GOING, REACHED_AT),
    _manifest(3, 45, 20, 0, RESTARTED, REACHED),
    _manifest(4, 45, 20, 0, RestartPolicy(), Network()),
)
UNKNOWN = MANIFESTS[4].algorithm.sha256
"""Of an algorithm that nobody uploaded."""


class Submission(msgspec.Struct, frozen=True):
    """What a client asks for, as often as it likes, under one key."""

    key: str
    manifest: Manifest
    vm_id: str | None


class Clients:
    """Asks a living daemon, and believes what it answers."""

    def __init__(self, life: Life, service: Service, nursery: trio.Nursery) -> None:
        self._life = life
        self._service = service
        self._nursery = nursery

    def submit(self, submission: Submission) -> None:
        """Submit a computation, and do not wait."""
        self._nursery.start_soon(self._with_patience, self._submit, submission)

    def command(self, vm_id: str, command: Command) -> None:
        """Order something of a VM, and do not wait."""
        self._nursery.start_soon(self._with_patience, self._command, vm_id, command)

    def known(self) -> list[str]:
        """Return the ids of the VMs that are listed."""
        return [state.vm_id for state in self._service.list()]

    async def _with_patience(self, ask: Callable[..., Awaitable[None]], *what: object) -> None:
        """Ask, and now and then go away before there is an answer."""
        chance = self._life.universe.chance
        leaves = chance.random() < HASTY * self._life.universe.storm
        with trio.move_on_after(chance.uniform(0, 2) if leaves else inf):
            await ask(*what)

    async def _submit(self, asked: Submission) -> None:
        universe = self._life.universe
        # Every third computation is somebody else's.
        principal = "uid:1001" if int(asked.key[-1]) % 3 == 2 else "uid:1000"
        caller = self._caller(principal)
        universe.steps += 1
        universe.note(f"{caller.command_id}: submit {asked.key} {asked.vm_id}")
        try:
            answer = await self._service.submit(
                asked.manifest, key=asked.key, vm_id=asked.vm_id, caller=caller
            )
        except CommandDenied as denied:
            if denied.reason is not DenyReason.VM_UNKNOWN:  # taken, and deleted meanwhile
                self._denied(caller, denied)
            return
        if not self._life.dead.is_set():
            universe.note(f"{caller.command_id}: {asked.key} is {answer.state.vm_id}")
            universe.ledger.key_answered(asked.key, answer.state.vm_id)
            check_quotas(self._service.list())
            universe.ledger.state_shown(answer.state)

    async def _command(self, vm_id: str, command: Command) -> None:
        caller = self._caller("uid:1000")
        ledger = self._life.universe.ledger
        try:
            state = await self._service.command(vm_id, command, caller)
        except CommandDenied as denied:
            self._denied(caller, denied)
            return
        if not self._life.dead.is_set():
            self._life.universe.note(f"{caller.command_id}: {command} of {vm_id} is obeyed")
            ledger.state_shown(state)
            if isinstance(command, Stop | Kill):
                ledger.stop_answered(state)

    def _caller(self, principal: str) -> Caller:
        return Caller(principal, TENANT, command_id=self._life.universe.new_command_id())

    def _denied(self, caller: Caller, denied: CommandDenied) -> None:
        # A full or closed mailbox does not say whether the request was taken.
        if not self._life.dead.is_set() and denied.reason is not DenyReason.MAILBOX_FULL:
            self._life.universe.ledger.denied(caller.command_id)


def check_quotas(states: Iterable[VmState]) -> None:
    """Raise Violation where more was taken than all, or one principal, may have."""
    principals = Counter(state.principal for state in states)
    most = CAPACITY.max_vms_per_principal
    assert most is not None
    if principals.total() > CAPACITY.max_vms or max(principals.values(), default=0) > most:
        raise Violation("never more VMs than the quotas have", str(dict(principals)))


def random_command(chance: Random) -> Command:
    """Return any command."""
    kind = chance.choice(COMMANDS)
    if kind is Stop:
        return Stop(chance.choice((None, 0, 3 * SECOND_MS)))
    return kind()
