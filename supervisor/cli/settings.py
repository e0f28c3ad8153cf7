"""The settings of the daemon as options of a command, made from the schema."""

import os
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from supervisor.cli.exits import ExitCode, Failure
from supervisor.cli.options import access_of
from supervisor.config.environment import FILE_VARIABLE, from_text
from supervisor.config.loading import Compat, Invocation, Loaded, load
from supervisor.config.resolving import ConfigInvalid, Given, Layer, Origin, Source
from supervisor.config.settings import BY_KEY, SETTINGS, Setting

Command = Callable[..., Any]


def settings_options(command: Command) -> Command:
    """Let a command be told what `serve` is told; it is called with ``loaded``, what holds."""

    @wraps(command)
    def told(
        *arguments: object, config: Path | None, compat: str | None, **options: object
    ) -> object:
        given = {key: options.pop(_parameter(key)) for key in BY_KEY}
        loaded = _load(given, config, compat)
        return command(*arguments, loaded=loaded, **options)

    with_options: Command = told
    for setting in reversed(SETTINGS):
        with_options = _option(setting)(with_options)
    for option in reversed(_SOURCES):
        with_options = option(with_options)
    return with_options


_SOURCES = (
    click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help=f"The configuration file.  [env: {FILE_VARIABLE}; default: "
        "/etc/chronovisor/chronovisor.toml for root, else chronovisor/chronovisor.toml in "
        "$XDG_CONFIG_HOME]",
    ),
    click.option(
        "--compat",
        type=click.Choice([compat.value for compat in Compat]),
        help="Take the environment variables of the Cocos manager, too.",
    ),
)


def _option(setting: Setting) -> Callable[[Command], Command]:
    names = (setting.flag, _parameter(setting.key))
    told = f"{setting.about.help}  [{setting.key}; default: {setting.default}]"
    if setting.about.stands_for:
        return click.option(*names, flag_value=setting.about.stands_for, default=None, help=told)
    return click.option(
        *names, metavar=setting.about.metavar, multiple=setting.is_list, default=None, help=told
    )


def _parameter(key: str) -> str:
    return key.replace(".", "_")


def _load(given: dict[str, object], file: Path | None, compat: str | None) -> Loaded:
    kind = None if compat is None else Compat(compat)
    flags = {
        key: _flag(BY_KEY[key], value) for key, value in given.items() if value not in (None, ())
    }
    flags = {**_before_the_command(), **flags}
    try:
        return load(Invocation(os.environ, os.geteuid(), flags, file, kind))
    except ConfigInvalid as invalid:
        raise Failure(ExitCode.USAGE, str(invalid)) from None


def _flag(setting: Setting, value: object) -> Given:
    source = Source(Origin.FLAG, setting.flag)
    if isinstance(value, tuple):
        return Given(source, lambda setting: setting.read(list(value)))
    return Given(source, partial(from_text, str(value)))


def _before_the_command() -> Layer:
    """Return the state directory where it was given before the command's name."""
    root = click.get_current_context().find_root()
    name = "state_dir"
    if root.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
        return {}
    return {name: _flag(BY_KEY[name], access_of(root).state_dir)}
