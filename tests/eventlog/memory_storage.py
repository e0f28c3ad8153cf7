"""Storage in memory: quick enough to try every byte, and able to fail at any operation."""

from collections.abc import Callable
from pathlib import Path

from eventlog.errors import LogLocked
from eventlog.storage import File, Lock, Storage


class MemoryStorage:
    """Directory and files as plain bytes, open to inspection and damage."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files = {name: bytearray(data) for name, data in (files or {}).items()}
        self.locked = False

    def snapshot(self) -> dict[str, bytes]:
        return {name: bytes(data) for name, data in self.files.items()}

    def prepare(self) -> None:
        pass

    def lock(self) -> Lock:
        if self.locked:
            raise LogLocked(Path("memory"), None)
        self.locked = True
        return MemoryLock(self)

    def names(self) -> list[str]:
        return sorted(self.files)

    def open(self, name: str) -> File:
        if name not in self.files:
            raise FileNotFoundError(name)
        return MemoryFile(self.files[name])

    def modify(self, name: str) -> File:
        return self.open(name)

    def create(self, name: str) -> File:
        if name in self.files:
            raise FileExistsError(name)
        self.files[name] = bytearray()
        return MemoryFile(self.files[name])

    def rename(self, old: str, new: str) -> None:
        self.files[new] = self.files.pop(old)

    def unlink(self, name: str) -> None:
        del self.files[name]

    def fsync_dir(self) -> None:
        pass


class MemoryLock:
    def __init__(self, storage: MemoryStorage) -> None:
        self._storage = storage

    def verify(self) -> None:
        pass

    def release(self) -> None:
        self._storage.locked = False


class MemoryFile:
    def __init__(self, data: bytearray) -> None:
        self._data = data

    def pread(self, length: int, offset: int) -> bytes:
        return bytes(self._data[offset : offset + length])

    def pwrite(self, data: bytes, offset: int) -> None:
        self._data.extend(bytes(max(0, offset - len(self._data))))
        self._data[offset : offset + len(data)] = data

    def size(self) -> int:
        return len(self._data)

    def allocate(self, size: int) -> None:
        self._data.extend(bytes(max(0, size - len(self._data))))

    def truncate(self, size: int) -> None:
        del self._data[size:]

    def fdatasync(self) -> None:
        pass

    def fsync(self) -> None:
        pass

    def make_read_only(self) -> None:
        pass

    def close(self) -> None:
        pass


Spoil = Callable[[str], None]
"""Called with the name of each operation that changes or syncs something; may raise."""


class FaultyStorage:
    """Any storage, with `spoil` called before every operation that reaches for the disk."""

    def __init__(self, inner: Storage, spoil: Spoil) -> None:
        self._inner = inner
        self._spoil = spoil

    def prepare(self) -> None:
        self._inner.prepare()

    def lock(self) -> Lock:
        return self._inner.lock()

    def names(self) -> list[str]:
        return self._inner.names()

    def open(self, name: str) -> File:
        return FaultyFile(self._inner.open(name), self._spoil)

    def modify(self, name: str) -> File:
        return FaultyFile(self._inner.modify(name), self._spoil)

    def create(self, name: str) -> File:
        self._spoil("create")
        return FaultyFile(self._inner.create(name), self._spoil)

    def rename(self, old: str, new: str) -> None:
        self._spoil("rename")
        self._inner.rename(old, new)

    def unlink(self, name: str) -> None:
        self._inner.unlink(name)

    def fsync_dir(self) -> None:
        self._spoil("fsync_dir")
        self._inner.fsync_dir()


class FaultyFile:
    def __init__(self, inner: File, spoil: Spoil) -> None:
        self._inner = inner
        self._spoil = spoil

    def pread(self, length: int, offset: int) -> bytes:
        return self._inner.pread(length, offset)

    def pwrite(self, data: bytes, offset: int) -> None:
        self._spoil("pwrite")
        self._inner.pwrite(data, offset)

    def size(self) -> int:
        return self._inner.size()

    def allocate(self, size: int) -> None:
        self._spoil("allocate")
        self._inner.allocate(size)

    def truncate(self, size: int) -> None:
        self._spoil("truncate")
        self._inner.truncate(size)

    def fdatasync(self) -> None:
        self._spoil("fdatasync")
        self._inner.fdatasync()

    def fsync(self) -> None:
        self._spoil("fsync")
        self._inner.fsync()

    def make_read_only(self) -> None:
        self._spoil("make_read_only")
        self._inner.make_read_only()

    def close(self) -> None:
        self._inner.close()
