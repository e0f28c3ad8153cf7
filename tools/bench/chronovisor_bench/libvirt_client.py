"""libvirt's C library, as far as the benches need it.

Through ctypes, because its Python binding belongs to the system's own Python, which is not the one
of our environment. Nothing here is called at import: a host without libvirt skips the comparison.
"""

import ctypes
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import POINTER, byref, c_char_p, c_int, c_uint, c_void_p
from pathlib import Path

LIBRARY = "libvirt.so.0"
START_PAUSED = 1 << 0
"""VIR_DOMAIN_START_PAUSED."""
STAT_ACTUAL_BALLOON = 1
"""VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON has some number; one statistic is enough to be answered."""
RUNNING, PAUSED = 1, 3
"""virDomainState."""
KNOWN = frozenset((RUNNING, PAUSED))
POLL_S = 0.002
CONNECT_S = 30.0

Reporter = ctypes.CFUNCTYPE(None, c_void_p, c_void_p)


class LibvirtFailed(Exception):
    """libvirt refused, or did not answer."""


class Statistic(ctypes.Structure):
    """virDomainMemoryStatStruct."""

    _fields_ = (("tag", c_int), ("value", ctypes.c_ulonglong))


class Library:
    """libvirt.so with the types of what we call. Raises OSError where there is none."""

    def __init__(self) -> None:
        self.c = c = ctypes.CDLL(LIBRARY)
        c.virConnectOpen.restype, c.virConnectOpen.argtypes = c_void_p, (c_char_p,)
        c.virConnectClose.argtypes = (c_void_p,)
        c.virDomainCreateXML.restype = c_void_p
        c.virDomainCreateXML.argtypes = (c_void_p, c_char_p, c_uint)
        c.virConnectListAllDomains.argtypes = (c_void_p, POINTER(POINTER(c_void_p)), c_uint)
        c.virDomainGetState.argtypes = (c_void_p, POINTER(c_int), c_void_p, c_uint)
        c.virDomainMemoryStats.argtypes = (c_void_p, POINTER(Statistic), c_uint, c_uint)
        c.virDomainDestroy.argtypes = c.virDomainFree.argtypes = (c_void_p,)
        c.virGetLastErrorMessage.restype = c_char_p
        c.virSetErrorFunc.argtypes = (c_void_p, Reporter)
        self._silent = Reporter(lambda data, error: None)  # the default prints on stderr
        c.virSetErrorFunc(None, self._silent)

    def failure(self, what: str) -> LibvirtFailed:
        """Return the last error of this thread."""
        return LibvirtFailed(f"{what}: {self.c.virGetLastErrorMessage().decode(errors='replace')}")


class Connection:
    """One client's connection."""

    def __init__(self, library: Library, handle: int) -> None:
        self._library = library
        self._c = library.c
        self._handle = handle

    def create_paused(self, xml: str) -> int:
        """Start a transient domain whose CPUs have not run; return its handle."""
        domain = self._c.virDomainCreateXML(self._handle, xml.encode(), START_PAUSED)
        if not domain:
            raise self._library.failure("createXML")
        return int(domain)

    def destroy(self, domain: int) -> None:
        """End a domain's QEMU, and the handle."""
        self._c.virDomainDestroy(domain)
        self._c.virDomainFree(domain)

    def known(self) -> int:
        """Return how many domains libvirt knows to be running or paused."""
        state = c_int()
        with self._domains() as domains:
            return sum(
                self._c.virDomainGetState(each, byref(state), None, 0) == 0 and state.value in KNOWN
                for each in domains
            )

    def answering(self) -> int:
        """Return for how many domains libvirt takes a job, as it does once it reconnected."""
        statistic = Statistic()
        with self._domains() as domains:
            return sum(
                self._c.virDomainMemoryStats(each, byref(statistic), STAT_ACTUAL_BALLOON, 0) >= 0
                for each in domains
            )

    @contextmanager
    def _domains(self) -> Iterator[list[int]]:
        listed = POINTER(c_void_p)()
        count = self._c.virConnectListAllDomains(self._handle, byref(listed), 0)
        if count < 0:
            raise self._library.failure("listAllDomains")
        domains = [int(listed[index] or 0) for index in range(count)]
        try:
            yield domains
        finally:
            for each in domains:
                self._c.virDomainFree(each)

    def close(self) -> None:
        """End the connection."""
        self._c.virConnectClose(self._handle)


def connect(library: Library, path: Path) -> Connection:
    """Connect to the daemon at ``path``, which may be about to listen. Raises LibvirtFailed."""
    give_up = time.monotonic() + CONNECT_S
    while not _listens(path):
        if time.monotonic() > give_up:
            raise LibvirtFailed(f"libvirtd does not listen at {path} within {CONNECT_S:g} s")
        time.sleep(POLL_S)
    handle = library.c.virConnectOpen(f"qemu+unix:///session?socket={path}".encode())
    if not handle:
        raise library.failure("cannot connect")
    return Connection(library, int(handle))


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0
