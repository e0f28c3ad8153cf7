"""`config show` and `config check`: what a daemon would do, and what is wrong with a file."""

import os
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from supervisor.cli.drawing import print_rows
from supervisor.cli.exits import ExitCode, Failure
from supervisor.cli.groups import Group
from supervisor.cli.options import json_option
from supervisor.cli.output import note, print_json
from supervisor.cli.settings import settings_options
from supervisor.config.loading import Loaded, load_file
from supervisor.config.resolving import ConfigInvalid, Source, value_of
from supervisor.config.settings import SETTINGS, spelled


@click.group(cls=Group)
def config() -> None:
    """Look at the configuration of the daemon, without starting it."""


class Shown(msgspec.Struct, frozen=True):
    """One setting: what holds, as it is written, and where it was said."""

    key: str
    value: str
    source: Source


@config.command()
@settings_options
@json_option
def show(*, loaded: Loaded, as_json: bool) -> None:
    """Show what `serve` with the same options would do, and who said so.

    \b
    Example:
      chronovisor config show --config chronovisor.toml
    """
    for warning in loaded.warnings:
        note(f"warning: {warning}")
    shown = list(_shown(loaded))
    if as_json:
        print_json({"settings": shown, "warnings": loaded.warnings})
        return
    rows = [(setting.key, setting.value or "-", str(setting.source)) for setting in shown]
    print_rows(("SETTING", "VALUE", "FROM"), rows)


@config.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def check(*, file: Path, as_json: bool) -> None:
    """Find everything that is wrong with the settings of FILE; nothing is started.

    What stands in the files that it names, `doctor --config FILE` looks at.

    \b
    Example:
      chronovisor config check chronovisor.toml
    """
    try:
        load_file(file, os.environ, os.geteuid())
    except ConfigInvalid as invalid:
        if as_json:
            print_json({"right": False, "wrong": invalid.wrongs})
        raise Failure(ExitCode.USAGE, str(invalid)) from None
    if as_json:
        print_json({"right": True, "wrong": []})
    else:
        note(f"{file}: right")


def _shown(loaded: Loaded) -> Iterator[Shown]:
    for setting in SETTINGS:
        value = spelled(value_of(loaded.resolved.config, setting.key))
        yield Shown(setting.key, value, loaded.resolved.sources[setting.key])
