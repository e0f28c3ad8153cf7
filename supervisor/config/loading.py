"""The ways in, in their order: flags, variables, those of a compatible daemon, file, defaults."""

from collections.abc import Mapping
from enum import Enum
from functools import partial
from pathlib import Path

from msgspec import Struct

from supervisor.config import cocos
from supervisor.config.environment import (
    FILE_VARIABLE,
    from_text,
    read_environment,
    without_effect,
)
from supervisor.config.file import read_file
from supervisor.config.places import default_catalogue, default_file, default_state_dir
from supervisor.config.resolving import DEFAULT, Given, Layer, Resolved, resolve


class Compat(Enum):
    """Another daemon whose variables are taken, too."""

    COCOS = "cocos"


class Invocation(Struct, frozen=True):
    """All that a start of the daemon is told; ``file`` is the one that was asked for, if any."""

    environment: Mapping[str, str]
    uid: int
    flags: Layer = {}
    file: Path | None = None
    compat: Compat | None = None


class Loaded(Struct, frozen=True):
    """What holds and why, what had no effect, and the file that was read, if any."""

    resolved: Resolved
    warnings: tuple[str, ...]
    file: Path | None


def load(told: Invocation) -> Loaded:
    """Return what a daemon that is started like this would do. Raises ConfigInvalid."""
    file = _file(told)
    warnings = list(without_effect(told.environment))
    layers = [told.flags, read_environment(told.environment)]
    if told.compat is Compat.COCOS:
        translation = cocos.translate(told.environment)
        warnings.extend(translation.warnings)
        layers.append(translation.layer)
    if file is not None:
        layers.append(read_file(file))
    layers.append(_usual_places(told))
    return Loaded(resolve(layers), tuple(warnings), file)


def load_file(file: Path, environment: Mapping[str, str], uid: int) -> Resolved:
    """Return what a file alone says. Raises ConfigInvalid."""
    return resolve((read_file(file), _usual_places(Invocation(environment, uid))))


def _file(told: Invocation) -> Path | None:
    """Return the file to read; one that nobody named may be absent, and only then."""
    if told.file is not None:
        return told.file
    if named := told.environment.get(FILE_VARIABLE):
        return Path(named)
    usual = default_file(told.environment, told.uid)
    return usual if usual.exists() or usual.is_symlink() else None


def _usual_places(told: Invocation) -> Layer:
    """Return the defaults that depend on who starts the daemon."""
    places = {
        "state_dir": default_state_dir(told.environment, told.uid),
        "catalogue": default_catalogue(told.environment, told.uid),
    }
    return {key: Given(DEFAULT, partial(from_text, str(path))) for key, path in places.items()}
