"""A guest with an agent of its own: the reference kernel and base, and an init of the tests' own.

Its kernel's command line says what it does once it is up: ``own=listen`` has its agent listen on
port 7002, ``own=say`` prints a line, ``own=nothing`` does neither. Then its console echoes each
line in capitals, and ``off`` powers it off, on the console or at the port.
"""

import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

from chronovisor_guest.cpio import archive, file

UP = "own guest: up"
MODULES = ("failover", "net_failover", "virtio_net")
"""What a guest with a network needs of the reference kernel's package, in the order of loading."""

INIT = r"""#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
while read -r module; do insmod "$module"; done </etc/chronovisor/modules
for serial in /sys/block/vd*/serial; do
    [ "$(cat "$serial")" = inputs ] && disk=$(basename "$(dirname "$serial")")
done
tar -xOf "/dev/$disk" manifest.json | grep -o '"name":"[^"]*"' | head -n 1
listen() {
    for module in MODULES; do insmod "/own/$module.ko"; done
    ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
    while true; do nc -l -p 7002 -e /own/agent; done &
}
case $(cat /proc/cmdline) in
    *own=listen*) listen ;;
    *own=say*) echo "own guest: up" ;;
esac
while read -r line; do
    [ "$line" = off ] && poweroff -f
    echo "$line" | tr a-z A-Z
done
"""

AGENT = r"""#!/bin/sh
read -r word
[ "$word" = off ] && poweroff -f
echo hello
"""


def network_modules(guest_dir: Path) -> dict[str, bytes]:
    """The kernel's modules for a network card, by their names."""
    (package,) = (guest_dir / "packages").glob("linux-image-*.deb")
    command = ["dpkg-deb", "--fsys-tarfile", str(package)]
    content = subprocess.run(command, capture_output=True, check=True).stdout
    found: dict[str, bytes] = {}
    with tarfile.open(fileobj=BytesIO(content)) as tar:
        for member in tar.getmembers():
            stem = Path(member.name).stem
            if stem in MODULES and (module := tar.extractfile(member)) is not None:
                found[stem] = module.read()
    return found


def write_layer(path: Path, guest_dir: Path) -> None:
    """Write the layer that makes the reference base a guest of its own."""
    modules = [file(f"own/{name}.ko", data) for name, data in network_modules(guest_dir).items()]
    init = INIT.replace("MODULES", " ".join(MODULES))
    programs = [
        file("init", init.encode(), executable=True),
        file("own/agent", AGENT.encode(), executable=True),
    ]
    path.write_bytes(b"".join(archive([*programs, *modules])))


MANIFEST = """\
name = "own"
[vm]
accel = "tcg"
initrd = ["reference-base", {{path = "{layer}"}}]
command_line = "own={does}"
[limits]
launch_deadline = "{deadline}"
[agent]
kind = "own"
"""


def write_manifest(
    path: Path, layer: Path, does: str, more: str = "", deadline: str = "2m"
) -> Path:
    """Write a manifest of a guest that ``does`` this; ``more`` is of its agent."""
    path.write_text(MANIFEST.format(layer=layer, does=does, deadline=deadline) + more)
    return path
