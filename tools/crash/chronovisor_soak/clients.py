"""What is asked of the daemon: clients that submit, order about and delete, at random.

An answer is a promise. Each is written down, and held against the log in the end.
"""

import random
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

import chronovisor_api
import msgspec
from chronovisor_api import v1

from supervisor.api.wire_manifest import from_manifest
from supervisor.cli.connection import Daemon, reach
from supervisor.cli.exits import Failure, Unreachable
from supervisor.cli.options import Access
from supervisor.manifest import Prepared

ASK_AGAIN_S = 0.2
"""A client whose daemon is away tries again soon."""
PAUSE_S = 0.3
"""Between two requests of one client, on average: some ten requests a second in all."""
VMS_MAX = 8
"""Living VMs that clients ask for: software emulation on two cores takes no more."""


class Order(Enum):
    """What may be asked of a VM that exists."""

    START = "start"
    STOP = "stop"
    KILL = "kill"
    PAUSE = "pause"
    RESUME = "resume"
    RESET = "reset"
    DELETE = "delete"
    GET = "get"


WEIGHTS = {
    Order.START: 1,
    Order.STOP: 2,
    Order.KILL: 1,
    Order.PAUSE: 2,
    Order.RESUME: 3,
    Order.RESET: 1,
    Order.DELETE: 4,
    Order.GET: 4,
}
CALLS: dict[Order, Callable[[chronovisor_api.Client, str], Coroutine[Any, Any, v1.Vm]]] = {
    Order.START: chronovisor_api.Client.start,
    Order.STOP: chronovisor_api.Client.stop,
    Order.KILL: chronovisor_api.Client.kill,
    Order.PAUSE: chronovisor_api.Client.pause,
    Order.RESUME: chronovisor_api.Client.resume,
    Order.RESET: chronovisor_api.Client.reset,
    Order.DELETE: chronovisor_api.Client.delete,
    Order.GET: chronovisor_api.Client.get,
}
ENDED = {v1.Phase.STOPPED, v1.Phase.FAILED}


class Promise(msgspec.Struct, frozen=True):
    """What was acknowledged: an order to a VM whose stream had ``version`` events by then."""

    vm_id: str
    order: str
    version: int


class Ledger:
    """What all clients were promised and refused; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.promises: list[Promise] = []
        self.answers: Counter[str] = Counter()
        self.doubles: list[str] = []

    def promised(self, vm: v1.Vm, order: str) -> None:
        """Write down an answer."""
        with self._lock:
            self.promises.append(Promise(vm.vm_id, order, vm.version))
            self.answers[f"{order}: obeyed"] += 1

    def refused(self, order: str, failure: Failure) -> None:
        """Write down a refusal, or that nobody answered."""
        kind = "no answer" if isinstance(failure, Unreachable) else "refused"
        with self._lock:
            self.answers[f"{order}: {kind}"] += 1

    def doubled(self, key: str, first: str, second: str) -> None:
        """Write down that one idempotency key made two VMs."""
        with self._lock:
            self.doubles.append(f"key {key}: {first} and {second}")


class Client(threading.Thread):
    """One client, which asks until it is told to stop."""

    def __init__(
        self,
        state_dir: Path,
        computations: list[Prepared],
        seed: int,
        ledger: Ledger,
        stopped: threading.Event,
    ) -> None:
        super().__init__(name=f"client-{seed}", daemon=True)
        self._access = Access(state_dir, None, None)
        self._computations = computations
        self._random = random.Random(seed)
        self._ledger = ledger
        self._stopped = stopped
        self._submitted = 0

    def run(self) -> None:
        while not self._stopped.is_set():
            try:
                with reach(self._access) as daemon:
                    while not self._stopped.wait(self._random.expovariate(1 / PAUSE_S)):
                        self._ask(daemon)
            except Unreachable:
                self._stopped.wait(ASK_AGAIN_S)

    def _ask(self, daemon: Daemon) -> None:
        vms = self._list(daemon)
        living = sum(vm.phase not in ENDED for vm in vms)
        if living < VMS_MAX and (not vms or self._random.random() < 0.3):
            self._submit(daemon)
        elif vms:
            self._order(daemon, self._random.choice(vms))

    def _list(self, daemon: Daemon) -> list[v1.Vm]:
        return list(daemon.stream(daemon.client.list()))

    def _submit(self, daemon: Daemon) -> None:
        self._submitted += 1
        key = f"{self.name}-{self._submitted}"
        manifest = from_manifest(self._random.choice(self._computations).manifest)
        with self._refusals_noted("submit"):
            vm = daemon.call(daemon.patient.submit(manifest, idempotency_key=key))
            self._ledger.promised(vm, "submit")
            if self._random.random() < 0.2:
                self._submit_again(daemon, manifest, key, vm.vm_id)

    def _submit_again(self, daemon: Daemon, manifest: v1.Manifest, key: str, expected: str) -> None:
        found = daemon.call(daemon.patient.submit(manifest, idempotency_key=key)).vm_id
        if found != expected:
            self._ledger.doubled(key, expected, found)

    def _order(self, daemon: Daemon, vm: v1.Vm) -> None:
        (order,) = self._random.choices(list(WEIGHTS), list(WEIGHTS.values()))
        with self._refusals_noted(order.value):
            answer = daemon.call(CALLS[order](daemon.client, vm.vm_id))
            self._ledger.promised(answer, order.value)

    @contextmanager
    def _refusals_noted(self, order: str) -> Iterator[None]:
        try:
            yield
        except Failure as failure:
            self._ledger.refused(order, failure)
            if isinstance(failure, Unreachable):
                raise
