"""A guest that does nothing: firmware whose first instruction halts the only CPU for ever.

A real QEMU with everything that a computation gets, which takes no time of the host's processors:
hundreds of them can be had at once, and nothing of what is measured is the guest's doing.
"""

from pathlib import Path

from supervisor.vm.spec import MIB

FIRMWARE_BYTES = 64 * 1024
"""What QEMU maps below 4 GiB comes in pieces of 64 KiB."""
RESET_VECTOR = FIRMWARE_BYTES - 16
HALT = b"\xfa\xf4\xeb\xfd"
"""cli; hlt; and back to the hlt, should anything wake the CPU all the same."""

MEMORY_BYTES = 64 * MIB
"""The least that a manifest may ask for."""
FIRMWARE, MANIFEST, PROGRAM = "halt.rom", "idle.toml", "idle.sh"
TEXT = f"""\
name = "idle"
[algorithm]
path = "{PROGRAM}"
[vm]
accel = "tcg"
memory = "{MEMORY_BYTES // MIB}M"
firmware = {{path = "{FIRMWARE}"}}
[limits]
ttl = "10h"
launch_deadline = "1h"
stop_grace = "0s"
"""


def write_manifest(directory: Path) -> Path:
    """Write the manifest of an idle VM with its files, and return where it is."""
    rom = bytearray(FIRMWARE_BYTES)
    rom[RESET_VECTOR : RESET_VECTOR + len(HALT)] = HALT
    (directory / FIRMWARE).write_bytes(rom)
    (directory / PROGRAM).write_text("#!/bin/sh\n")
    manifest = directory / MANIFEST
    manifest.write_text(TEXT)
    return manifest
