"""The order in which modules are loaded, from what they say of themselves."""

from pathlib import Path

import pytest
from chronovisor_guest import GuestError, kernel


def _module(*depends: str) -> bytes:
    return b"\x7fELF\0license=GPL\0depends=" + ",".join(depends).encode() + b"\0retpoline=Y\0"


def _write(tree: Path, modules: dict[str, tuple[str, ...]]) -> Path:
    for name, depends in modules.items():
        (tree / f"{name}.ko").write_bytes(_module(*depends))
    return tree


_KNOWN: dict[str, tuple[str, ...]] = {
    "virtio": ("virtio_ring",),
    "virtio_ring": (),
    "virtio_pci": ("virtio_ring", "virtio"),
    "virtio_console": ("virtio",),
    "virtio_blk": ("virtio",),
    "virtio-rng": ("virtio",),
    "pvpanic": (),
    "pvpanic-mmio": ("pvpanic",),
    "pvpanic-pci": ("pvpanic",),
}


def test_a_module_comes_after_all_that_it_needs_and_only_once(tmp_path: Path) -> None:
    order = [path.stem for path in kernel.modules_in_load_order(_write(tmp_path, _KNOWN))]
    assert sorted(order) == sorted(_KNOWN)
    assert order.index("virtio_ring") < order.index("virtio") < order.index("virtio_pci")
    assert order.index("pvpanic") < order.index("pvpanic-mmio")


def test_a_kernel_without_a_module_is_named(tmp_path: Path) -> None:
    del (modules := dict(_KNOWN))["virtio_ring"]
    with pytest.raises(GuestError, match="virtio_ring"):
        kernel.modules_in_load_order(_write(tmp_path, modules))


def test_a_module_that_says_nothing_needs_nothing() -> None:
    assert kernel.dependencies(b"\x7fELF\0license=GPL\0") == []
