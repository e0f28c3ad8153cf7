"""What each layer of the guest holds: which packages, and which of their files.

A layer is an initramfs archive of its own; the kernel takes several, one after the other. They are
not compressed: unpacking under software emulation costs more than reading the larger file.
"""

import stat
import subprocess
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

from chronovisor_guest import cpio, kernel
from chronovisor_guest.errors import GuestError


class Layer(Enum):
    """The layers of the reference guest, in the order in which the kernel gets them."""

    BASE = "base"
    PYTHON = "python"


KERNEL_METAPACKAGE = "linux-image-cloud-amd64"
PACKAGES = {
    Layer.BASE: ("busybox-static",),
    Layer.PYTHON: (
        "python3.11-minimal",
        "libpython3.11-minimal",
        "libpython3.11-stdlib",
        "libbz2-1.0",
        "libc6",
        "libcrypt1",
        "libdb5.3",
        "libexpat1",
        "libffi8",
        "libgcc-s1",
        "liblzma5",
        "libncursesw6",
        "libreadline8",
        "libsqlite3-0",
        "libssl3",
        "libtinfo6",
        "libuuid1",
        "zlib1g",
    ),
}

_INIT = Path(__file__).with_name("init")
_DIRECTORIES = ("dev", "etc", "job", "proc", "root", "run", "sys", "tmp")
_MODULES = "lib/modules"
_PASSWD = b"root:x:0:0:root:/root:/bin/sh\n"

_STDLIB = "usr/lib/python3.11"
# What no computation needs, or what needs a library that the layer leaves out.
_LEFT_OUT = (
    "etc",
    "usr/share",
    "usr/lib/x86_64-linux-gnu/audit",
    "usr/lib/x86_64-linux-gnu/engines-3",
    "usr/lib/x86_64-linux-gnu/gconv",
    *(
        f"{_STDLIB}/{name}"
        for name in (
            "ensurepip",
            "idlelib",
            "lib2to3",
            "lib-dynload/_test*",
            "lib-dynload/nis.*",
            "lib-dynload/ossaudiodev.*",
            "lib-dynload/xx*",
            "pydoc_data",
            "sitecustomize.py",
            "test",
            "turtle.py",
        )
    ),
)
_COMPILE_SECONDS = 300


def base(kernel_tree: Path, tree: Path) -> list[cpio.Member]:
    """Busybox, the agent as /init, and the kernel's modules. Raises GuestError."""
    busybox = tree / "bin/busybox"
    modules = kernel.modules_in_load_order(kernel_tree / "lib/modules")
    load_order = "".join(f"/{_MODULES}/{module.name}\n" for module in modules)
    applets = [name for name in _run([str(busybox), "--list"]).split() if name != "busybox"]
    return [
        *map(cpio.directory, _DIRECTORIES),
        cpio.file("init", _INIT.read_bytes(), executable=True),
        cpio.file("etc/passwd", _PASSWD),
        cpio.file("etc/chronovisor/modules", load_order.encode()),
        cpio.file("bin/busybox", busybox.read_bytes(), executable=True),
        cpio.symlink("usr/bin/env", "/bin/busybox"),
        *(cpio.symlink(f"bin/{name}", "busybox") for name in applets),
        *(cpio.file(f"{_MODULES}/{module.name}", module.read_bytes()) for module in modules),
    ]


def python(tree: Path) -> list[cpio.Member]:
    """Debian's python3 with its standard library, compiled ahead. Raises GuestError."""
    left_out = {path for pattern in _LEFT_OUT for path in tree.glob(pattern)}
    _compile(tree, left_out)
    members = list(_members(tree, left_out))
    return [*members, cpio.symlink("usr/bin/python3", "python3.11")]


def vmlinuz(kernel_tree: Path) -> bytes:
    """The kernel image of an unpacked kernel package. Raises GuestError."""
    images = list((kernel_tree / "boot").glob("vmlinuz-*"))
    if len(images) != 1:
        raise GuestError(f"the kernel package holds {len(images)} kernels: it is not one we know")
    return images[0].read_bytes()


def _members(tree: Path, left_out: set[Path]) -> Iterator[cpio.Member]:
    for path in sorted(tree.rglob("*")):
        if left_out.intersection((path, *path.parents)):
            continue
        name = str(path.relative_to(tree))
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            yield cpio.symlink(name, str(path.readlink()))
        elif stat.S_ISREG(mode):
            yield cpio.file(name, path.read_bytes(), executable=bool(mode & stat.S_IXUSR))


def _compile(tree: Path, left_out: set[Path]) -> None:
    """Compile the standard library with the very interpreter that will run it.

    Under software emulation this saves seconds at every start. The loader is named so that no
    library of the building machine takes part; "unchecked-hash" keeps times out of the files.
    """
    libraries = f"{tree}/lib/x86_64-linux-gnu:{tree}/usr/lib/x86_64-linux-gnu"
    loader = [f"{tree}/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "--library-path", libraries]
    sources = [path for path in sorted((tree / _STDLIB).iterdir()) if path not in left_out]
    _run(
        [*loader, f"{tree}/usr/bin/python3.11", "-I", "-B", "-m", "compileall", "-q", "-f",
         "--invalidation-mode", "unchecked-hash", "-s", str(tree), "-p", "/",
         *map(str, sources)],
        {"PYTHONHOME": f"{tree}/usr", "PYTHONHASHSEED": "0"},
    )  # fmt: skip


def _run(argv: list[str], environment: dict[str, str] | None = None) -> str:
    try:
        done = subprocess.run(
            argv, env=environment or {}, capture_output=True, text=True, timeout=_COMPILE_SECONDS
        )
    except OSError as error:
        raise GuestError(f"cannot run {argv[0]}: the guest is built on Linux x86-64") from error
    if done.returncode != 0:
        raise GuestError(f"{argv[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
