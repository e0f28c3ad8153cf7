"""Which modules of a kernel the guest loads, and in which order.

A package has no modules.dep (depmod makes it on installation), so dependencies are read from the
modules themselves: the `depends=` entry of the .modinfo section.
"""

import re
from pathlib import Path

from chronovisor_guest.errors import GuestError

WANTED = ("virtio_pci", "virtio_console", "virtio_blk", "virtio_rng", "pvpanic_mmio", "pvpanic_pci")
_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")


def modules_in_load_order(tree: Path) -> list[Path]:
    """The wanted modules and all they need, each after what it needs. Raises GuestError."""
    by_name = {path.stem.replace("-", "_"): path for path in sorted(tree.rglob("*.ko"))}
    order: dict[str, Path] = {}
    for name in WANTED:
        _visit(name, by_name, order)
    return list(order.values())


def dependencies(module: bytes) -> list[str]:
    """The names that a module's .modinfo says it depends on."""
    found = _DEPENDS.search(module)
    return [name.decode() for name in found[1].split(b",") if name] if found else []


def _visit(name: str, by_name: dict[str, Path], order: dict[str, Path]) -> None:
    if name in order:
        return
    if name not in by_name:
        raise GuestError(f"the kernel package has no module {name}: it is not one we know")
    for dependency in dependencies(by_name[name].read_bytes()):
        _visit(dependency, by_name, order)
    order[name] = by_name[name]
