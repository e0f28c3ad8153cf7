"""The TOML file -> a layer; where in the file each key stands, so that a complaint can say so.

Secrets are not written here, because this file is read, shown and copied: it names the files that
hold them. A secret that stands here all the same is refused, and never shown.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from eventlog.regular_file import NotRegular, read_regular
from supervisor.config.resolving import ConfigInvalid, Given, Layer, Origin, Source, Wrong
from supervisor.config.settings import BY_KEY, PUT_INTO_A_FILE, Setting
from supervisor.config.values import placed
from supervisor.written.examine import advice, shown

FILE_BYTES_MAX = 1 << 18
"""Some twenty settings; a larger file is something else."""

SECRET_NAMES = re.compile(r"token|secret|password|passphrase|private_key", re.IGNORECASE)
_HEADER = re.compile(r"\s*\[\s*([\w.\- ]+?)\s*\]\s*(?:#.*)?")
_NAME = re.compile(r"[\w\-]+")
_KEY = re.compile(r"\s*([\w.\-]+)\s*=")


def read_file(path: Path) -> Layer:
    """Return what the file says. Raises ConfigInvalid with everything that is wrong with it."""
    text = _text(path)
    try:
        tree = tomllib.loads(text)
    except ValueError as error:
        raise _unreadable(path, f"not TOML: {error}") from None
    except RecursionError:
        raise _unreadable(path, "not TOML: nested too deeply") from None
    lines = _lines(text)
    wrongs: list[Wrong] = []
    layer: dict[str, Given] = {}
    for key, raw in _leaves(tree):
        source = Source(Origin.FILE, str(path), _line(lines, key))
        if (why := _refusal(key, raw)) is not None:
            wrongs.append(Wrong(source, key, why))
        else:
            layer[key] = Given(source, partial(_read, raw, path.parent))
    if wrongs:
        raise ConfigInvalid([*wrongs, *_wrong_values(layer)])
    return layer


def _text(path: Path) -> str:
    try:
        # A link is fine here: those who may write it may as well write the file.
        content = read_regular(Path(os.path.realpath(path)), FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise _unreadable(path, f"larger than {FILE_BYTES_MAX} bytes, so it is another file")
        return content.decode()
    except NotRegular:
        raise _unreadable(path, "not a regular file") from None
    except OSError as error:
        raise _unreadable(path, (error.strerror or "cannot be read").lower()) from None
    except UnicodeDecodeError as error:
        raise _unreadable(path, f"not UTF-8 text (byte {error.start})") from None


def _unreadable(path: Path, why: str) -> ConfigInvalid:
    return ConfigInvalid([Wrong(Source(Origin.FILE, str(path)), "", why)])


def _read(raw: object, directory: Path, setting: Setting) -> object:
    return placed(setting.read(raw), directory)


def _wrong_values(layer: Layer) -> Iterator[Wrong]:
    for key, given in layer.items():
        try:
            given.read(BY_KEY[key])
        except ValueError as why:
            yield Wrong(given.source, key, str(why))


def _leaves(tree: Mapping[str, object], at: str = "") -> Iterator[tuple[str, object]]:
    """Yield each value under its dotted key; a table that is no section is a value, too."""
    for name, value in tree.items():
        # A quoted name may hold anything; a dot in it leads into no section.
        key = at + (name if _NAME.fullmatch(name) else shown(name))
        if isinstance(value, dict) and _names_in(key):
            yield from _leaves(value, f"{key}.")
        else:
            yield key, value


def _refusal(key: str, raw: object) -> str | None:
    """Return why a key is refused before its value is looked at, if it is."""
    if key in BY_KEY:
        return None
    *section, name = key.split(".")
    if SECRET_NAMES.search(name) and isinstance(raw, str):
        return f"no secret stands here: {PUT_INTO_A_FILE} as tokens or tls.key"
    if inside := _names_in(key):
        return f"takes a table; {advice('', inside)}"
    return f"unknown field; {advice(name, _names_in('.'.join(section)))}"


def _names_in(section: str) -> list[str]:
    """Return what a section takes; nothing where there is none of that name."""
    prefix = f"{section}." if section else ""
    inside = (key.removeprefix(prefix) for key in BY_KEY if key.startswith(prefix))
    return list(dict.fromkeys(key.split(".")[0] for key in inside))


def _lines(text: str) -> dict[str, int]:
    """Return the line on which each dotted key or section stands, where it is plain to see."""
    found: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.fullmatch(line):
            section = header[1].replace(" ", "") + "."
            found.setdefault(section.removesuffix("."), number)
        elif key := _KEY.match(line):
            found.setdefault(section + key[1], number)
    return found


def _line(lines: Mapping[str, int], key: str) -> int | None:
    """Return the line of a key, or of the inline table that it stands in."""
    while key not in lines and "." in key:
        key = key.rpartition(".")[0]
    return lines.get(key)
