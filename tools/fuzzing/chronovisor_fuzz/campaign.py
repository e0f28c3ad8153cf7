"""The course of a run: a daemon, attackers beside a watch, then silence, and what is left."""

import os
import random
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec
import trio
from chronovisor_soak import census
from chronovisor_soak.account import state_of
from chronovisor_soak.daemon import DaemonUnderTest

from chronovisor_fuzz import (
    http2_attacks,
    http_attacks,
    message_attacks,
    openapi,
    orders,
    websocket_attacks,
)
from chronovisor_fuzz.ledger import Ledger
from chronovisor_fuzz.target import Attack, Found, Place, Target
from chronovisor_fuzz.verdict import Leaks, Verdict, causes_in
from chronovisor_fuzz.watch import Health, watch

ATTACKERS = 8
"""At once: as many as keep one daemon busy, and leave room for the watch."""
ATTACK_S = 240.0
"""No attack takes as long; one that does waits for something that never comes."""
SETTLE_S = 150.0
"""Until the daemon has let go of clients that are gone: its longest patience is 60 s."""
SAMPLES = 5
SAMPLE_S = 1.0
"""So often, and so far apart, the daemon is looked at before it is attacked; the least counts."""
VM_IDS = ("fuzz-1", "fuzz-2", "fuzz-3", "fuzz-4")
LIMITS = ("--max-running", "2", "--max-vms", "12")
"""Guests take processor time that the attacks are to have."""

KINDS: Mapping[str, Mapping[str, tuple[Attack, int]]] = {
    "http": http_attacks.ATTACKS,
    "grpc": message_attacks.ATTACKS | http2_attacks.ATTACKS,
    "websocket": websocket_attacks.ATTACKS,
}
"""What may be attacked, with how, and how often one against another."""


class Held(NamedTuple):
    """What a process holds."""

    descriptors: int
    threads: int
    resident: int


class Campaign:
    """One run, in a directory of its own."""

    def __init__(
        self, directory: Path, catalogue: Path, seed: int, kinds: tuple[str, ...], patience_s: float
    ) -> None:
        self._directory = directory
        self._output = directory / "daemon.log"
        self._state = directory / "state"
        self._daemon = DaemonUnderTest(self._state, catalogue, self._output, LIMITS)
        self._seed = seed
        self._kinds = kinds
        self._patience_s = patience_s
        self._ledger = Ledger()
        self._health = Health()

    async def run(self, seconds: float) -> Verdict:
        """Attack for a while; return what came of it."""
        began = time.monotonic()
        self._daemon.start()
        try:
            leaks = await self._attacked(seconds)
            alive = self._daemon.ended() is None
        finally:
            code = self._daemon.leave()
        return Verdict(
            seconds=round(time.monotonic() - began, 1),
            seed=self._seed,
            attacks=self._ledger.attacks,
            outcomes={name: dict(counts) for name, counts in self._ledger.outcomes.items()},
            finds=self._ledger.finds,
            health=self._health,
            leaks=leaks,
            log=state_of(self._state / "log"),
            exit_code=code if alive else code or 1,
            causes=causes_in(self._output),
        )

    async def _attacked(self, seconds: float) -> Leaks:
        target = await _target(self._daemon, self._state)
        await self._once_of_everything(target)
        await orders.delete_all(target)
        before = await self._settled(None)
        async with trio.open_nursery() as nursery:
            await self._begin(nursery, target)
            await trio.sleep(seconds)
            nursery.cancel_scope.cancel()
        try:
            await orders.delete_all(target)
        except Found as found:
            self._ledger.found("orders", "", str(found))
        after = await self._settled(before)
        return Leaks(*(now - then for now, then in zip(after, before, strict=True)))

    async def _begin(self, nursery: trio.Nursery, target: Target) -> None:
        """Return when all listeners were checked once while they are attacked."""
        assert self._daemon.pid is not None
        for number in range(ATTACKERS):
            nursery.start_soon(self._attack, target, number)
        if "http" in self._kinds and openapi.is_installed():
            chance = random.Random(self._seed)
            nursery.start_soon(openapi.attack, target, chance, self._ledger, self._directory)
        watching = partial(watch, target, self._daemon.pid, self._patience_s)
        await nursery.start(watching, self._ledger, self._health)

    async def _attack(self, target: Target, number: int) -> None:
        attacks = orders.ATTACKS | {
            name: attack for kind in self._kinds for name, attack in KINDS[kind].items()
        }
        weights = [weight for _, weight in attacks.values()]
        chance = random.Random(f"{self._seed}/{number}")
        while self._daemon.ended() is None:
            (name,) = chance.choices(list(attacks), weights)
            await self._one(
                target, name, attacks[name][0], f"{self._seed}/{chance.getrandbits(32)}"
            )

    async def _once_of_everything(self, target: Target) -> None:
        """Let the daemon load whatever it loads once, so that it is no leak later."""
        async with trio.open_nursery() as nursery:
            for kind in self._kinds:
                for name, (attack, _) in KINDS[kind].items():
                    nursery.start_soon(self._one, target, name, attack, f"{self._seed}/0")
            nursery.start_soon(self._one, target, "orders", orders.submit, f"{self._seed}/0")

    async def _one(self, target: Target, name: str, attack: Attack, seed: str) -> None:
        try:
            with trio.fail_after(ATTACK_S):
                self._ledger.came_of(name, await attack(target, random.Random(seed)))
        except (OSError, trio.BrokenResourceError):
            self._ledger.came_of(name, "hung up")
        except (Found, trio.TooSlowError) as found:
            self._ledger.found(name, seed, str(found) or "it never ended")

    async def _settled(self, before: Held | None) -> Held:
        """Return what the daemon holds, once that is no more than before, or does not get less."""
        found: list[Held] = []
        with trio.move_on_after(SETTLE_S):
            while self._daemon.pid is not None and self._daemon.ended() is None:
                found.append(_held_by(self._daemon.pid))
                enough = (
                    len(found) >= SAMPLES
                    if before is None
                    else found[-1].descriptors <= before.descriptors
                )
                if enough:
                    break
                await trio.sleep(SAMPLE_S)
        return min(found, default=Held(0, 0, 0)) if before is None else found[-1]


def _held_by(pid: int) -> Held:
    found = census.resources(pid)
    threads = len(os.listdir(f"/proc/{pid}/task"))
    return Held(found.descriptors, threads, found.resident)


async def _target(daemon: DaemonUnderTest, state_dir: Path) -> Target:
    told = msgspec.json.decode(daemon.greeting)
    target = Target(
        state_dir=state_dir,
        unix=Path(told["unix"]),
        grpc=Place(**told["grpc"]),
        http=Place(**told["http"]),
        websocket=Place(**told["websocket"]),
        log_id=told["log_id"],
        token=(state_dir / "token").read_text().strip(),
        sha256="",
        vm_ids=list(VM_IDS),
    )
    return msgspec.structs.replace(target, sha256=await orders.store_script(target))
