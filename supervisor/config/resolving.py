"""Flags, variables, the file and the defaults -> one :class:`Config`; the nearest one wins.

Where each value came from is remembered, for those who wonder and for the complaint. Everything
that is said is looked at, also what is overruled: it would be the next surprise.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any

from msgspec import Struct

from supervisor.config.exposure import check
from supervisor.config.schema import Config
from supervisor.config.settings import BY_KEY, SETTINGS, Setting


class Origin(Enum):
    """The ways in."""

    FLAG = "flag"
    ENVIRONMENT = "environment"
    FILE = "file"
    DEFAULT = "default"


class Source(Struct, frozen=True):
    """Where a value came from; ``name`` is that of the flag, of the variable or of the file."""

    origin: Origin
    name: str = ""
    line: int | None = None

    def __str__(self) -> str:
        line = "" if self.line is None else f":{self.line}"
        return f"{self.name}{line}" or self.origin.value


DEFAULT = Source(Origin.DEFAULT)

Read = Callable[[Setting], object]


class Given(Struct, frozen=True):
    """One value as it was said; ``read`` raises ValueError with what is wrong about it."""

    source: Source
    read: Read


Layer = Mapping[str, Given]
"""What one way in says, by the key of the setting."""


class Wrong(Struct, frozen=True):
    """One thing to mend. ``source`` is DEFAULT for what nobody said."""

    source: Source
    key: str
    description: str

    def __str__(self) -> str:
        # Flags and variables are named after the key; a file is not.
        named = self.source.origin in (Origin.FLAG, Origin.ENVIRONMENT)
        places = [str(self.source)] if self.source != DEFAULT else []
        places += [self.key] if self.key and not named else []
        return ": ".join([*places, self.description])


class ConfigInvalid(Exception):
    """The configuration is wrong; the message has one line for each thing to mend."""

    def __init__(self, wrongs: Sequence[Wrong]) -> None:
        self.wrongs = tuple(wrongs)
        super().__init__("\n".join(str(wrong) for wrong in wrongs))


class Resolved(Struct, frozen=True):
    """What holds, and for each key why."""

    config: Config
    sources: Mapping[str, Source]


def resolve(layers: Sequence[Layer]) -> Resolved:
    """Return what holds; the first layer that says something wins.

    Raises :class:`ConfigInvalid` with everything that is wrong.
    """
    values: dict[str, object] = {}
    sources = {setting.key: DEFAULT for setting in SETTINGS}
    wrongs: list[Wrong] = []
    for layer in reversed(layers):
        for key, given in layer.items():
            try:
                values[key] = given.read(BY_KEY[key])
                sources[key] = given.source
            except ValueError as why:
                wrongs.append(Wrong(given.source, key, str(why)))
    if wrongs:
        raise ConfigInvalid(wrongs)
    config = assemble(Config, values)
    wrongs = [
        Wrong(sources[violation.field], violation.field, violation.description)
        for violation in check(config)
    ]
    if wrongs:
        raise ConfigInvalid(wrongs)
    return Resolved(config, sources)


def assemble(section: type[Any], values: Mapping[str, object], at: str = "") -> Any:
    """Return a section of the schema with these values by their keys, and defaults elsewhere."""
    fields: dict[str, object] = {}
    for name, kind in section.__annotations__.items():
        key = at + name
        if key in values:
            fields[name] = values[key]
        elif key not in BY_KEY:
            fields[name] = assemble(kind, values, f"{key}.")
    return section(**fields)


def value_of(config: Config, key: str) -> object:
    """Return the value of one setting."""
    value: object = config
    for name in key.split("."):
        value = getattr(value, name)
    return value
