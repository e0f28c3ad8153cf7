"""A storage in front of another that passes everything on: whoever breaks one overrides a part."""

from eventlog.storage import File, Lock, Storage


class PassingStorage:
    """Passes every operation on; opened files go through `wrap`."""

    def __init__(self, inner: Storage) -> None:
        self.inner = inner

    def wrap(self, file: File, name: str) -> File:
        """What a writer gets in place of this file."""
        return PassingFile(file)

    def prepare(self) -> None:
        self.inner.prepare()

    def lock(self) -> Lock:
        return self.inner.lock()

    def names(self) -> list[str]:
        return self.inner.names()

    def open(self, name: str) -> File:
        return self.inner.open(name)

    def modify(self, name: str) -> File:
        return self.wrap(self.inner.modify(name), name)

    def create(self, name: str) -> File:
        return self.wrap(self.inner.create(name), name)

    def rename(self, old: str, new: str) -> None:
        self.inner.rename(old, new)

    def unlink(self, name: str) -> None:
        self.inner.unlink(name)

    def fsync_dir(self) -> None:
        self.inner.fsync_dir()


class PassingFile:
    """Passes every operation on."""

    def __init__(self, inner: File) -> None:
        self.inner = inner

    def pread(self, length: int, offset: int) -> bytes:
        return self.inner.pread(length, offset)

    def pwrite(self, data: bytes, offset: int) -> None:
        self.inner.pwrite(data, offset)

    def size(self) -> int:
        return self.inner.size()

    def allocate(self, size: int) -> None:
        self.inner.allocate(size)

    def truncate(self, size: int) -> None:
        self.inner.truncate(size)

    def fdatasync(self) -> None:
        self.inner.fdatasync()

    def fsync(self) -> None:
        self.inner.fsync()

    def make_read_only(self) -> None:
        self.inner.make_read_only()

    def close(self) -> None:
        self.inner.close()
