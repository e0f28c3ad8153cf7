"""`tools/soak`: its options, its course and its account on paper."""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from chronovisor_api import v1

from chronovisor_soak import account, census, computations
from chronovisor_soak.account import Account, Leaks
from chronovisor_soak.clients import ENDED, Client, Ledger
from chronovisor_soak.daemon import DaemonUnderTest
from chronovisor_soak.trouble import Fate
from supervisor.cli.connection import Daemon, reach
from supervisor.cli.exits import Failure
from supervisor.cli.options import Access

SECONDS = 60.0
CLIENTS = 3
STRIKE_S = 4.0
"""Between two blows, on average: a guest boots in two seconds, so some end and some do not."""
CENSUS_S = 0.1
"""How often processes are counted: two of one launch would live for much longer."""
SETTLE_S = 180.0
"""When nothing goes wrong any more every VM ends within its time to live and its last stop."""
DISK = "size=700m"
"""A disk of memory that the clients' VMs do not fill, and ballast does within a second."""


def main() -> int:
    """Run a soak and print its account; return 0 only if nothing was lost, doubled or leaked."""
    arguments = _parse()
    with tempfile.TemporaryDirectory(prefix="cv-") as name, _disk(Path(name)) as disk:
        found = Soak(Path(name), disk, arguments.catalogue, arguments.seed).run(arguments.seconds)
        if not found.passed and arguments.keep:
            shutil.copytree(name, arguments.keep, dirs_exist_ok=True, ignore=_no_sockets)
    if arguments.json:
        print(msgspec.json.encode({"passed": found.passed, **msgspec.to_builtins(found)}).decode())
    else:
        print("\n".join(lines(found)))
    return 0 if found.passed else 1


class Soak:
    """One soak, on a state directory of its own."""

    def __init__(self, directory: Path, disk: Path | None, catalogue: Path, seed: int) -> None:
        self._state = (disk or directory) / "state"
        self._log = self._state / "log"
        self._directory = directory
        self._seed = seed
        self._ledger = Ledger()
        self._stopped = threading.Event()
        self._doubles: set[str] = set()
        self._daemon = DaemonUnderTest(self._state, catalogue, directory / "daemon.log")
        self._fate = Fate(self._daemon, disk, seed, self._stopped.wait)
        self._access = Access(self._state, None, None)

    def run(self, seconds: float) -> Account:
        """Let clients and fate have their way, then let everything end; return the account."""
        began = time.monotonic()
        self._daemon.start()
        prepared = computations.written(self._directory)
        with reach(self._access) as daemon:
            computations.uploaded(daemon, prepared)
        threads = [
            Client(self._state, prepared, self._seed + n, self._ledger, self._stopped)
            for n in range(CLIENTS)
        ]
        watch = threading.Thread(target=self._count, daemon=True)
        for thread in (*threads, watch):
            thread.start()
        try:
            self._suffer(time.monotonic(), seconds)
        finally:
            self._stopped.set()
        for thread in threads:
            thread.join()
        return self._conclude(began)

    def _suffer(self, began: float, seconds: float) -> None:
        chance = random.Random(self._seed)
        while (spent := time.monotonic() - began) < seconds:
            _progress(f"{spent:.0f} of {seconds:.0f} s, {self._fate.count.total()} blows")
            time.sleep(min(chance.expovariate(1 / STRIKE_S), max(0.0, seconds - spent)))
            self._fate.strike()

    def _count(self) -> None:
        while not self._stopped.wait(CENSUS_S):
            for uuid, count in census.launches(self._state).items():
                if uuid and count > 1:
                    self._doubles.add(f"{count} processes of launch {uuid}")

    def _conclude(self, began: float) -> Account:
        _progress("letting everything end")
        self._daemon.leave()
        self._daemon.start()  # one life of its own for the figures of descriptors and memory
        with reach(self._access) as daemon:
            before = self._resources()
            stuck = _settled(daemon)
            _delete_all(daemon)
            after = self._resources()
        zombies = census.zombies(self._daemon.pid or 0)
        if self._daemon.leave() != 0:
            stuck.append(f"the daemon did not leave in good order: {self._daemon.last_words()}")
        reading = account.read(self._log)
        leaks = Leaks(
            qemus=[pid for pid, _ in census.qemus(self._state)],
            zombies=zombies,
            files=census.entries(self._state / "vms"),
            descriptors=max(0, after.descriptors - before.descriptors),
            resident_growth=after.resident - before.resident,
        )
        doubles = [*self._doubles, *self._ledger.doubles, *account.spawned_twice(reading)]
        return Account(
            seconds=round(time.monotonic() - began, 1),
            seed=self._seed,
            lives=self._daemon.lives,
            answers=dict(sorted(self._ledger.answers.items())),
            troubles=dict(self._fate.count),
            events=reading.events,
            vms=sum(stream.startswith("vm/") for stream in reading.versions),
            launches=len(reading.spawned),
            promises=len(self._ledger.promises),
            lost=account.lost(self._ledger.promises, reading.versions),
            doubles=doubles,
            stuck=stuck,
            outcomes=dict(reading.outcomes),
            log=account.state_of(self._log),
            leaks=leaks,
        )

    def _resources(self) -> census.Resources:
        pid = self._daemon.pid
        assert pid is not None
        return census.resources(pid)


def _settled(daemon: Daemon) -> list[str]:
    """Wait until every VM has ended, as its time to live sees to; return those that do not."""
    give_up = time.monotonic() + SETTLE_S
    living: list[v1.Vm] = []
    while time.monotonic() < give_up:
        vms = daemon.stream(daemon.client.list())
        living = [vm for vm in vms if vm.phase not in ENDED]
        if not living:
            return []
        _progress(f"{len(living)} VMs live on")
        time.sleep(1)
    return [f"{vm.vm_id} is {vm.phase.name} since long" for vm in living]


def _delete_all(daemon: Daemon) -> None:
    for vm in list(daemon.stream(daemon.client.list())):
        try:
            daemon.call(daemon.client.delete(vm.vm_id))
        except Failure:
            continue  # it is told of as a leak
    give_up = time.monotonic() + SETTLE_S
    while list(daemon.stream(daemon.client.list())):
        if time.monotonic() > give_up:
            return
        time.sleep(0.2)


@contextmanager
def _disk(directory: Path) -> Iterator[Path | None]:
    """A small disk that may be filled, where we may mount one."""
    place = directory / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", DISK, "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        sys.stderr.write("soak: no episodes of a full disk: that needs root, to mount a tmpfs\n")
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def _no_sockets(directory: str, names: list[str]) -> set[str]:
    return {name for name in names if Path(directory, name).is_socket()}


def lines(found: Account) -> list[str]:
    """The account for people."""
    told = [
        f"soak of {found.seconds} s, seed {found.seed}: {found.vms} VMs, {found.launches} "
        f"launches, {found.events} events, {found.lives} lives of the daemon",
        *_table("what was asked", found.answers),
        *_table("what went wrong", found.troubles),
        *_table("how VMs ended", found.outcomes),
        f"promises kept: {found.promises - len(found.lost)} of {found.promises}",
        f"lost: {len(found.lost)}, doubles: {len(found.doubles)}, stuck: {len(found.stuck)}",
        *(f"    {each}" for each in (*found.lost, *found.doubles, *found.stuck)),
        f"log: {found.log}",
        f"left behind: {len(found.leaks.qemus)} QEMUs, {len(found.leaks.zombies)} zombies, "
        f"{len(found.leaks.files)} files, {found.leaks.descriptors} descriptors, "
        f"memory {found.leaks.resident_growth / 2**20:+.1f} MiB",
        *(f"    {each}" for each in found.leaks.files[:20]),
    ]
    return [*told, "nothing lost, doubled or left behind" if found.passed else "FAILED"]


def _table(title: str, counts: dict[str, int]) -> list[str]:
    return [
        f"{title}:",
        *(f"    {count:6} {what}" for what, count in Counter(counts).most_common()),
    ]


def _progress(what: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[2Ksoak: {what}")
        sys.stderr.flush()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run real VMs under a daemon that has bad luck.")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="[default: 60]")
    parser.add_argument(
        "--seed", type=int, default=random.randrange(2**31), help="of what is tried [default: any]"
    )
    parser.add_argument(
        "--catalogue",
        type=Path,
        default=Path(os.environ.get("CHRONOVISOR_GUEST_DIR", ".cache/guest")),
        help="the guests [default: CHRONOVISOR_GUEST_DIR, or .cache/guest]",
    )
    parser.add_argument("--keep", type=Path, help="where a soak that failed leaves its state")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()
