"""Fetches packages of Debian 12 without installing them, as any user.

Versions come from the system's package lists where it has them. Where it has none, or they are
so old that the archive no longer holds what they name, newer ones are fetched from the system's
sources into the cache. A package is used only when its SHA-256 is the one that the signed lists
name.
"""

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chronovisor_guest.errors import GuestError
from chronovisor_guest.progress import Progress, Report

_SECONDS = 600  # for one call of apt: a slow mirror is fine, a dead one is not
# Nothing counts as installed, no lock of the system is touched, no other user is switched to.
_READ_ONLY = ("Dir::State::status=/dev/null", "Debug::NoLocking=1", "APT::Sandbox::User=root",
              "APT::Architecture=amd64", "APT::Architectures=amd64")  # fmt: skip
# Otherwise apt calls an update a success that could fetch nothing.
_STRICT_UPDATE = "APT::Update::Error-Mode=any"


@dataclass(frozen=True)
class Package:
    """One version of a package, as the archive's signed lists describe it."""

    name: str
    version: str
    architecture: str
    size: int
    sha256: str
    depends: str

    @property
    def file_name(self) -> str:
        """The name apt gives the download."""
        return f"{self.name}_{self.version.replace(':', '%3a')}_{self.architecture}.deb"


class Archive:
    """The Debian archive as one set of package lists sees it."""

    def __init__(self, cache: Path, options: Sequence[str]) -> None:
        self._cache = cache
        self._options = [word for option in (*_READ_ONLY, *options) for word in ("-o", option)]

    def resolve(self, names: Sequence[str]) -> list[Package]:
        """The current version of each. Raises GuestError."""
        text = _run(["apt-cache", *self._options, "show", "--no-all-versions", *names], self._cache)
        known = {package.name: package for package in map(_parse, text.strip().split("\n\n"))}
        missing = [name for name in names if name not in known]
        if missing:
            raise GuestError(
                f"the package lists do not know {missing[0]}: have the sources of Debian 12 in "
                "/etc/apt and run apt-get update"
            )
        return [known[name] for name in names]

    def fetch(self, packages: Sequence[Package]) -> dict[Package, Path]:
        """The files of the packages, from the cache or the archive. Raises GuestError."""
        paths = {package: self._cache / package.file_name for package in packages}
        missing = {package: path for package, path in paths.items() if not _holds(path, package)}
        if missing:
            self._download(missing)
        return paths

    def _download(self, missing: Mapping[Package, Path]) -> None:
        wanted = [f"{package.name}={package.version}" for package in missing]
        with tempfile.TemporaryDirectory(dir=self._cache) as directory:
            _run(["apt-get", *self._options, "-q", "download", *wanted], Path(directory))
            for package, path in missing.items():
                fetched = Path(directory, package.file_name)
                if not _holds(fetched, package):
                    raise GuestError(f"the archive sent another {package.name}: run it again")
                os.replace(fetched, path)


def obtain(
    metapackage: str, names: Sequence[str], cache: Path, report: Report
) -> dict[Package, Path]:
    """Fetch what the metapackage stands for (its first dependency) and then all of `names`.

    Raises GuestError.
    """
    cache.mkdir(parents=True, exist_ok=True)
    try:
        return _obtain(Archive(cache, ()), metapackage, names, report)
    except GuestError:
        report(Progress("fetching Debian's package lists", 0, 1))
        return _obtain(_own_lists(cache), metapackage, names, report)


def unpack(package: Path, tree: Path) -> None:
    """Add the files of a .deb to `tree`; no script of it runs. Raises GuestError."""
    tree.mkdir(exist_ok=True)
    _run(["dpkg-deb", "-x", str(package), str(tree)], tree)


def _obtain(
    archive: Archive, metapackage: str, names: Sequence[str], report: Report
) -> dict[Package, Path]:
    (meta,) = archive.resolve([metapackage])
    concrete = meta.depends.replace(",", " ").split()[0]
    packages = archive.resolve([concrete, *names])
    size = sum(package.size for package in packages) / 1e6
    report(Progress(f"downloading the kernel and {len(names)} packages ({size:.0f} MB)", 0, 2))
    kernel = archive.fetch(packages[:1])
    report(Progress("downloading what is left", 1, 2))
    return kernel | archive.fetch(packages[1:])


def _own_lists(cache: Path) -> Archive:
    state = (cache / "apt").resolve()
    (state / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (state / "cache" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    options = (
        f"Dir::State={state}",
        f"Dir::State::lists={state}/lists",
        f"Dir::Cache={state}/cache",
    )
    words = [word for option in (*_READ_ONLY, *options) for word in ("-o", option)]
    _run(["apt-get", *words, "-o", _STRICT_UPDATE, "-q", "update"], cache)
    return Archive(cache, options)


def _parse(record: str) -> Package:
    lines = (line.partition(": ") for line in record.splitlines() if not line.startswith(" "))
    fields = {name: value for name, _, value in lines}
    try:
        return Package(
            fields["Package"],
            fields["Version"],
            fields["Architecture"],
            int(fields["Size"]),
            fields["SHA256"],
            fields.get("Depends", ""),
        )
    except KeyError as missing:
        raise GuestError(f"the package lists lack {missing}: run apt-get update") from missing


def _holds(path: Path, package: Package) -> bool:
    if not path.exists():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == package.sha256


def _run(argv: list[str], directory: Path) -> str:
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(
            argv, cwd=directory, env=environment, capture_output=True, text=True, timeout=_SECONDS
        )
    except FileNotFoundError as error:
        raise GuestError(f"{argv[0]} is missing: build the guest on a Debian system") from error
    except subprocess.TimeoutExpired as error:
        raise GuestError(f"{argv[0]} took over {_SECONDS} s: try again") from error
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise GuestError(f"{argv[0]} {argv[-1]} failed ({said}): is the archive reachable?")
    return done.stdout
