"""Host ports for the forwards of this process's tests, and of nobody else's.

Daemons that are told nothing all give out the same ports, beginning with the same one, and only
QEMU takes it: two that begin at once, each in a test of its own worker, would both choose it.
"""

import os

LOW = 21_000 + os.getpid() % 400 * 20
"""Above the daemon's default range and below the ports that the kernel gives out by itself."""
PORTS = ("--forward-ports", f"{LOW}-{LOW + 9}")
