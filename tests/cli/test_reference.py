"""What docs/cli.md says of the commands is what they say themselves."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from supervisor.cli.program import cli

ROOT = Path(__file__).parents[2]


def test_the_reference_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "describe_commands", "--check"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def commands(group: click.Group, *before: str) -> Iterator[tuple[str, ...]]:
    """The words of every command."""
    context = click.Context(group)
    for name in group.list_commands(context):
        yield (*before, name)
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, *before, name)


def is_example(line: str) -> bool:
    """Whether it is to be copied, and so is not folded."""
    return line.lstrip().startswith(("chronovisor ", "--")) and not line.startswith("  -")


@pytest.mark.parametrize("words", [(), *commands(cli)], ids=" ".join)
def test_help_fits_a_terminal_of_80_columns(words: tuple[str, ...]) -> None:
    told = CliRunner().invoke(cli, [*words, "--help"], env={"COLUMNS": "80"}, terminal_width=80)
    assert told.exit_code == 0
    lines = [line for line in told.stdout.splitlines() if not is_example(line)]
    assert [line for line in lines if len(line) > 80] == []
