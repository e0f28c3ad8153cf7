"""Builds the reference guest: packages -> trees -> archives -> catalogue.

Building twice does nothing; the same packages and the same sources give the same bytes. Versions
are looked up anew only when asked for, so that a guest does not change under its user.
"""

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from chronovisor_guest import catalogue, cpio, layers, packages
from chronovisor_guest.catalogue import Catalogue
from chronovisor_guest.errors import GuestError
from chronovisor_guest.layers import Layer
from chronovisor_guest.packages import Package
from chronovisor_guest.progress import Progress, Report

_SOURCES = Path(__file__).parent
_PACKAGES = "packages"  # the cache, beside what is built


def build(
    directory: Path,
    *,
    wanted: Collection[Layer] = tuple(Layer),
    report: Report = lambda progress: None,
    refresh: bool = False,
) -> Catalogue:
    """Build into `directory` unless it is up to date; with `refresh`, look for newer packages.

    Raises GuestError with one sentence that names what is missing and what to run.
    """
    if Layer.BASE not in wanted:
        raise GuestError("every guest needs the base layer: name it too")
    chosen = [layer for layer in Layer if layer in wanted]
    recipe = _recipe(chosen)
    directory = directory.absolute()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with _locked(directory):
            built = None if refresh else _up_to_date(directory, recipe)
            return built or _build(directory, chosen, recipe, report)
    except OSError as error:
        raise GuestError(f"cannot build the guest in {directory}: {error}") from error


def _up_to_date(directory: Path, recipe: str) -> Catalogue | None:
    try:
        built = catalogue.read(directory)
    except GuestError:
        return None
    return built if built and built.recipe == recipe and built.is_intact(directory) else None


def _build(directory: Path, chosen: list[Layer], recipe: str, report: Report) -> Catalogue:
    names = [name for layer in chosen for name in layers.PACKAGES[layer]]
    fetched = packages.obtain(layers.KERNEL_METAPACKAGE, names, directory / _PACKAGES, report)
    with tempfile.TemporaryDirectory(dir=directory, prefix=".building-") as temporary:
        made = _make(Path(temporary), chosen, fetched, report)
        entries = {
            name: catalogue.describe(path, "initrd" if path.suffix == ".cpio" else "kernel")
            for name, path in made.items()
        }
        (directory / catalogue.FILE_NAME).unlink(missing_ok=True)
        for path in made.values():
            os.replace(path, directory / path.name)
    versions = {package.name: package.version for package in fetched}
    result = Catalogue(recipe, versions, entries)
    catalogue.write(result, directory)
    return result


def _make(
    place: Path, chosen: list[Layer], fetched: dict[Package, Path], report: Report
) -> dict[str, Path]:
    """Make the files in `place`; by the names that manifests use."""
    total = len(chosen) + 1
    report(Progress("unpacking the kernel", 0, total))
    kernel = _kernel_tree(place, fetched)
    made = {"reference-kernel": place / "vmlinuz"}
    made["reference-kernel"].write_bytes(layers.vmlinuz(kernel))
    for done, layer in enumerate(chosen, start=1):
        report(Progress(f"packing the {layer.value} layer", done, total))
        tree = _tree(place / layer.value, layer, fetched)
        members = layers.base(kernel, tree) if layer is Layer.BASE else layers.python(tree)
        path = made[f"reference-{layer.value}"] = place / f"{layer.value}.cpio"
        with path.open("wb") as file:
            file.writelines(cpio.archive(members))
    report(Progress("the guest is built", total, total))
    return made


def _kernel_tree(place: Path, fetched: dict[Package, Path]) -> Path:
    of_layers = {name for names in layers.PACKAGES.values() for name in names}
    (package,) = (package for package in fetched if package.name not in of_layers)
    packages.unpack(fetched[package], place / "kernel")
    return place / "kernel"


def _tree(tree: Path, layer: Layer, fetched: dict[Package, Path]) -> Path:
    for package, path in fetched.items():
        if package.name in layers.PACKAGES[layer]:
            packages.unpack(path, tree)
    return tree


def _recipe(chosen: list[Layer]) -> str:
    """A digest of all that decides what is built, but for the versions of packages."""
    digest = hashlib.sha256(" ".join(layer.value for layer in chosen).encode())
    for path in sorted((*_SOURCES.glob("*.py"), _SOURCES / "init")):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """One builder at a time; another one waits, and then finds the work done."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
