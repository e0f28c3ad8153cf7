"""Sets a table for `tools/demo-sev`: a simulated host, and an owner's directory.

python -m chronovisor_sev.demonstration DIRECTORY [--tamper NAME]
"""

import argparse
import os
import runpy
import shutil
import sys
from pathlib import Path

from chronovisor_sev.firmware_image import firmware_image
from chronovisor_sev.installing import install
from chronovisor_sev.tampering import Tamper, choose_tamper

FILES = Path(__file__).resolve().parents[1] / "demo"
ALGORITHM = "mean_age.py"
KEY_BYTES = 32
KERNEL, LAYERS = "vmlinuz", ("base.cpio", "python.cpio")
"""Of the reference guest; the owner measures their own copies."""


def prepare(directory: Path, guest: Path, tamper: Tamper = Tamper.NONE) -> None:
    """Make ``host`` and ``owner`` in a directory, which others must be able to pass through."""
    host, owner = directory / "host", directory / "owner"
    directory.chmod(0o755)
    host.mkdir()
    owner.mkdir(mode=0o700)
    install(host, host / "platform")
    choose_tamper(host / "platform", tamper)
    fill(owner, guest)
    # Out of band: AMD's site and key service give these to whoever asks.
    for name in ("ask_ark.cert", "cek.cert"):
        shutil.copy(host / "platform" / name, owner / name)


def fill(owner: Path, guest: Path) -> None:
    """Write what an owner has: computation, guest, firmware, a key and the sealed data set."""
    for name in (ALGORITHM, "manifest.toml"):
        shutil.copy(FILES / name, owner / name)
    key = os.urandom(KEY_BYTES)
    with open(owner / "data.key", "wb", opener=_private) as file:
        file.write(key)
    seal = runpy.run_path(str(FILES / ALGORITHM))["sealed"]
    (owner / "patients.sealed").write_bytes(seal(key, (FILES / "patients.csv").read_bytes()))
    (owner / "firmware.fd").write_bytes(firmware_image())
    shutil.copy(guest / KERNEL, owner / KERNEL)
    (owner / "initrd.cpio").write_bytes(b"".join((guest / part).read_bytes() for part in LAYERS))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def main() -> int:
    """Run the program; return the exit status."""
    parser = argparse.ArgumentParser(description="Prepare the demo of a SIMULATED host with SEV.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--guest", type=Path, required=True, help="where the reference guest is")
    choices = [each.value for each in Tamper]
    parser.add_argument("--tamper", choices=choices, default=Tamper.NONE.value)
    arguments = parser.parse_args()
    prepare(arguments.directory, arguments.guest, Tamper(arguments.tamper))
    return 0


if __name__ == "__main__":
    sys.exit(main())
