"""Nothing that only the owner and the processor may know is anywhere on the host."""

import base64
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.sev_owner import Owner

pytestmark = pytest.mark.guest


def written(secret: bytes) -> tuple[bytes, ...]:
    """How it would look: as it is, in hexadecimal, and in base64, alone or inside other data."""
    in_hexadecimal = secret.hex().encode()
    return secret, in_hexadecimal, in_hexadecimal.upper(), *in_base64(secret)


def in_base64(secret: bytes) -> Iterator[bytes]:
    """The characters that hold nothing but the secret, at each of its three alignments."""
    for before in range(3):
        first, last = -(-before * 8 // 6), (before + len(secret)) * 8 // 6
        yield base64.b64encode(bytes(before) + secret)[first:last]


def secrets_of(owner: Owner) -> dict[str, tuple[bytes, ...]]:
    keys = (owner.directory / "launch-1" / "tk.bin").read_bytes()
    data = (owner.directory / "data.key").read_bytes()
    return {"TEK": written(keys[:16]), "TIK": written(keys[16:]), "secret": written(data)}


def found_in(text: bytes, owner: Owner) -> list[str]:
    secrets = secrets_of(owner)
    return [name for name, forms in secrets.items() if any(form in text for form in forms)]


def files_of_the_host(owner: Owner) -> Iterator[tuple[Path, bytes]]:
    """Yield each with its content; the daemon may take some away meanwhile."""
    for root in (owner.daemon.state_dir.parent, owner.host):
        for directory, _, names in os.walk(root):
            for path in (Path(directory, name) for name in names):
                with suppress(FileNotFoundError):
                    if path.is_file():
                        yield path, path.read_bytes()


def left_in_files(owner: Owner) -> dict[str, list[str]]:
    found = {str(path): found_in(content, owner) for path, content in files_of_the_host(owner)}
    return {path: names for path, names in found.items() if names}


def command_lines() -> Iterator[bytes]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield (entry / "cmdline").read_bytes()
            except OSError:  # it has ended
                continue


def test_neither_keys_nor_secret_are_on_the_host(owner: Owner) -> None:
    owner.session()
    owner.submit("one")
    owner.measured("one")
    assert left_in_files(owner) == {}
    with owner.begin_release("one"):
        owner.daemon.wait_for("one", "vm.guest-started.v1")
        assert not any(found_in(words, owner) for words in command_lines())
    owner.daemon.wait_for("one", "vm.stopped.v1")

    owner.run("log", "export", str(owner.host / "published"))
    assert left_in_files(owner) == {}
    asked = ("events --after 0 --json", "transcript one --json", "show one --json")
    told = [owner.run(*words.split()) for words in asked]
    assert [found_in(text.encode(), owner) for text in told] == [[]] * len(asked)


def test_the_search_would_find_them(owner: Owner) -> None:
    owner.session()
    key = (owner.directory / "data.key").read_bytes()
    keys = (owner.directory / "launch-1" / "tk.bin").read_bytes()
    leaks = {
        "hexadecimal": (f"the key is {key.hex()}".encode(), ["secret"]),
        "joined": (base64.b64encode(keys), ["TEK", "TIK"]),
        **{
            f"table-{before}": (base64.b64encode(bytes(before) + key + b"end"), ["secret"])
            for before in range(20, 23)
        },
    }
    for name, (leak, _) in leaks.items():
        (owner.host / name).write_bytes(leak)

    assert left_in_files(owner) == {
        str(owner.host / name): secrets for name, (_, secrets) in leaks.items()
    }
