"""Every setting of the schema with its key, its variable and its flag; and how a value is read."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct
from msgspec import inspect as kinds

from supervisor.config.schema import About, Config
from supervisor.written.examine import build, examine, shown, takes_what

VARIABLES = "CHRONOVISOR_"
"""What the variables of all settings begin with."""

SECRET_MARK = "-----BEGIN"
"""What every secret in PEM begins with."""
PUT_INTO_A_FILE = "put it into a file of its own, chmod 600, and give the path"

_PRIVATE = (re.compile(r"(?<=://).*(?=@)", re.DOTALL), re.compile(r"(?<=[?#]).+", re.DOTALL))
"""The parts of an URL where a password or a key may stand."""

DIGITS_MOST = 18
"""No limit of a host needs more; what has more is text, and so refused."""


class Setting(Struct, frozen=True):
    """One thing that can be said; ``key`` is its dotted place in the schema and in the file."""

    key: str
    annotation: Any
    about: About
    takes: str
    initial: object

    @property
    def variable(self) -> str:
        """The environment's name of it."""
        return VARIABLES + self.key.replace(".", "_").upper()

    @property
    def flag(self) -> str:
        """The command line's name of it."""
        return self.about.flag or "--" + self.key.replace(".", "-").replace("_", "-")

    @property
    def default(self) -> str:
        """The default in words."""
        return self.about.default or spelled(self.initial)

    @property
    def is_list(self) -> bool:
        """Whether it is said once for each item."""
        return isinstance(_kind(self.annotation), kinds.VarTupleType)

    def read(self, raw: object) -> object:
        """Return the value of what a file says. Raises ValueError with the whole complaint.

        A secret is not a value, and its complaint does not repeat it.
        """
        if isinstance(raw, str) and SECRET_MARK in raw:
            raise ValueError(f"holds a secret itself: {PUT_INTO_A_FILE}")
        if self.about.parse is not None:
            try:
                if isinstance(raw, str):
                    return self.about.parse(raw)
            except (ValueError, RuntimeError):  # the latter: a home directory that is not known
                pass
            raise ValueError(f"got {_public(raw)}; it takes {self.takes}")
        for violation in examine(raw, self.annotation):
            raise ValueError(violation.description)
        return build(raw, self.annotation)

    def read_text(self, text: str) -> object:
        """The same of what a variable or a flag says: text, whatever the setting takes."""
        return self.read(_from_text(text, _kind(self.annotation)))


def _public(raw: object) -> str:
    """Return what was said, less the secrets of an URL, and of what has more than one line.

    A secret that is written in the place of its file may well stand in a table of names.
    """
    match raw:
        case dict():
            return "a table"
        case list():
            return "a list"
        case str() if not raw.isprintable():
            return "text that is not one line"
        case str() if "://" in raw:
            for private in _PRIVATE:
                raw = private.sub("[redacted]", raw)
    return shown(raw)


def spelled(value: object) -> str:
    """Return a value as it is written."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case tuple():
            return ", ".join(value)
    return str(getattr(value, "value", value))


def _from_text(text: str, kind: kinds.Type) -> object:
    match kind:
        case kinds.IntType() if text.isascii() and text.isdecimal() and len(text) <= DIGITS_MOST:
            return int(text)
        case kinds.BoolType() if text in ("true", "false"):
            return text == "true"
        case kinds.VarTupleType():
            return [item.strip() for item in text.split(",") if item.strip()]
    return text


def _kind(annotation: object) -> kinds.Type:
    """Return what a value is, beside None and beside what is told of it."""
    kind = kinds.type_info(annotation)
    while isinstance(kind, kinds.Metadata | kinds.UnionType):
        if isinstance(kind, kinds.Metadata):
            kind = kind.type
        else:
            kind = next(one for one in kind.types if not isinstance(one, kinds.NoneType))
    return kind


def _settings(section: type[Struct], at: str = "") -> Iterator[Setting]:
    for field in msgspec.structs.fields(section):
        key = at + field.name
        if isinstance(field.type, type) and issubclass(field.type, Struct):
            yield from _settings(field.type, f"{key}.")
            continue
        told = kinds.type_info(field.type)
        assert isinstance(told, kinds.Metadata)
        assert told.extra is not None
        initial = None if field.default is msgspec.NODEFAULT else field.default
        yield Setting(key, field.type, told.extra["about"], takes_what(told), initial)


SETTINGS = tuple(_settings(Config))
BY_KEY = {setting.key: setting for setting in SETTINGS}
BY_VARIABLE = {setting.variable: setting for setting in SETTINGS}
