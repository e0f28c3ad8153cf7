"""The reference guest: a small Linux that runs one computation, and how it is built.

What it says to its host is specified in docs/agent-protocol.md. Building needs apt and dpkg-deb,
the standard library, and nothing of the daemon.
"""

from chronovisor_guest.build import build
from chronovisor_guest.catalogue import Catalogue, Entry
from chronovisor_guest.errors import GuestError
from chronovisor_guest.layers import Layer
from chronovisor_guest.progress import Progress

__all__ = ["Catalogue", "Entry", "GuestError", "Layer", "Progress", "build"]
