"""A disk that loses power: what was not synced survives sector by sector, name by name, or not.

Harsher than any filesystem in use: nothing orders two writes but a sync, a file's sync says nothing
of its name, and of a sector that was written several times any version may be found. A rename
happens or not, and never by half.
"""

import random
from collections.abc import Callable
from pathlib import Path

from eventlog.errors import LogLocked
from eventlog.frame import SECTOR
from eventlog.storage import File, Lock


class PowerCut(Exception):
    """The machine is off; raised by every operation until `restart`."""


class Inode:
    """One file: what is durable, what the page cache shows, and what lies between the two."""

    def __init__(self, data: bytes = b"") -> None:
        self.durable = bytearray(data)
        self.cached = bytearray(data)
        self._written: dict[int, list[bytes]] = {}
        self._sizes: list[int] = []

    def write(self, data: bytes, offset: int) -> None:
        self.resize(max(len(self.cached), offset + len(data)))
        self.cached[offset : offset + len(data)] = data
        for start in range(offset - offset % SECTOR, offset + len(data), SECTOR):
            self._written.setdefault(start, []).append(bytes(self.cached[start : start + SECTOR]))

    def resize(self, size: int) -> None:
        if size != len(self.cached):
            self.cached.extend(bytes(max(0, size - len(self.cached))))
            del self.cached[size:]
            self._sizes.append(size)

    def sync(self) -> None:
        self.durable[:] = self.cached
        self._written.clear()
        self._sizes.clear()

    def lose_power(self, chance: random.Random, survives: float) -> None:
        """Keep of the unsynced what chance keeps."""
        sizes = [size for size in self._sizes if chance.random() < survives]
        data = self.durable
        if sizes:
            data.extend(bytes(max(0, sizes[-1] - len(data))))
            del data[sizes[-1] :]
        for start, versions in self._written.items():
            if chance.random() < survives:
                found = chance.choice(versions)[: max(0, len(data) - start)]
                data[start : start + len(found)] = found
        self.cached = bytearray(data)
        self._written.clear()
        self._sizes.clear()


_Change = Callable[[dict[str, Inode]], None]
"""One change of the directory, made again on another state of it."""


class SimulatedDisk:
    """A `Storage` whose machine can be switched off at any operation that changes something."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self._durable = {name: Inode(data) for name, data in (files or {}).items()}
        self._cached = dict(self._durable)
        self._changes: list[_Change] = []
        self._left = 0
        self._is_off = False
        self._locked = False

    def snapshot(self) -> dict[str, bytes]:
        """The files as a process sees them."""
        return {name: bytes(inode.cached) for name, inode in self._cached.items()}

    def cut_at(self, operation: int) -> None:
        """Switch off at the n-th change or sync from now on: cached still, but not synced."""
        self._left = operation

    def kill(self) -> None:
        """The process dies, the machine goes on: the page cache stays."""
        self._restart()

    def lose_power(self, chance: random.Random, survives: float) -> None:
        """Begin again with what chance lets survive; `survives` is the odds for each piece."""
        for inode in dict.fromkeys([*self._durable.values(), *self._cached.values()]):
            inode.lose_power(chance, survives)
        for change in self._changes:
            if chance.random() < survives:
                change(self._durable)
        self._cached = dict(self._durable)
        self._changes.clear()
        self._restart()

    def _restart(self) -> None:
        self._left = 0
        self._is_off = False
        self._locked = False

    def step(self) -> None:
        """Count one operation, and switch off when it is the chosen one."""
        self._left -= 1
        if self._left == 0:
            self._is_off = True
        self.check()

    def check(self) -> None:
        if self._is_off:
            raise PowerCut

    def _change(self, change: _Change) -> None:
        self.check()
        change(self._cached)
        self._changes.append(change)
        self.step()

    def prepare(self) -> None:
        self.check()

    def lock(self) -> Lock:
        self.check()
        if self._locked:
            raise LogLocked(Path("simulated"), None)
        self._locked = True
        return SimulatedLock(self.unlock)

    def unlock(self) -> None:
        self._locked = False

    def names(self) -> list[str]:
        self.check()
        return sorted(self._cached)

    def open(self, name: str) -> File:
        self.check()
        if name not in self._cached:
            raise FileNotFoundError(name)
        return SimulatedFile(self, self._cached[name])

    def modify(self, name: str) -> File:
        return self.open(name)

    def create(self, name: str) -> File:
        if name in self._cached:
            raise FileExistsError(name)
        inode = Inode()
        self._change(lambda entries: entries.update({name: inode}))
        return SimulatedFile(self, inode)

    def rename(self, old: str, new: str) -> None:
        inode = self._cached[old]

        def move(entries: dict[str, Inode]) -> None:
            if entries.get(old) is inode:
                del entries[old]
            entries[new] = inode

        self._change(move)

    def unlink(self, name: str) -> None:
        inode = self._cached[name]

        def remove(entries: dict[str, Inode]) -> None:
            if entries.get(name) is inode:
                del entries[name]

        self._change(remove)

    def fsync_dir(self) -> None:
        self.step()
        self._durable = dict(self._cached)
        self._changes.clear()


class SimulatedLock:
    """Held by one writer in one life of the machine."""

    def __init__(self, release: Callable[[], None]) -> None:
        self._release = release

    def verify(self) -> None:
        pass

    def release(self) -> None:
        self._release()


class SimulatedFile:
    """An open file of the simulated disk."""

    def __init__(self, disk: SimulatedDisk, inode: Inode) -> None:
        self._disk = disk
        self._inode = inode

    def pread(self, length: int, offset: int) -> bytes:
        self._disk.check()
        return bytes(self._inode.cached[offset : offset + length])

    def pwrite(self, data: bytes, offset: int) -> None:
        self._disk.check()
        self._inode.write(data, offset)
        self._disk.step()

    def size(self) -> int:
        self._disk.check()
        return len(self._inode.cached)

    def allocate(self, size: int) -> None:
        self._disk.check()
        self._inode.resize(max(size, len(self._inode.cached)))
        self._disk.step()

    def truncate(self, size: int) -> None:
        self._disk.check()
        self._inode.resize(size)
        self._disk.step()

    def fdatasync(self) -> None:
        self._disk.step()
        self._inode.sync()

    def fsync(self) -> None:
        self.fdatasync()

    def make_read_only(self) -> None:
        self._disk.step()

    def close(self) -> None:
        pass
