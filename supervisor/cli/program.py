"""The `chronovisor` program: its commands, its global options, and how it ends."""

import os
import sys
from functools import partial
from importlib import import_module
from pathlib import Path

import click

from supervisor.cli.exits import ExitCode, Failure, in_words, table
from supervisor.cli.groups import Group
from supervisor.cli.options import (
    CONNECT_VARIABLE,
    STATE_DIR_VARIABLE,
    access_of,
    override,
    tls_options,
)

COMMANDS = {
    "serve": "serving.serve",
    "config": "configuring.config",
    "doctor": "examining.doctor",
    "token": "tokens.token",
    "submit": "submitting.submit",
    "provide": "providing.provide",
    "list": "vms.list_vms",
    "show": "vms.show",
    "top": "top.top",
    "events": "events.events",
    "start": "lifecycle.start",
    "stop": "lifecycle.stop",
    "kill": "lifecycle.kill",
    "pause": "lifecycle.pause",
    "resume": "lifecycle.resume",
    "reset": "lifecycle.reset",
    "delete": "lifecycle.delete",
    "result": "fetching.result",
    "console": "fetching.console",
    "transcript": "transcripts.transcript",
    "log": "logs.log",
    "host": "host.host",
    "guest": "guest.guest",
    "manifest": "manifests.manifest",
    "sev": "sev.group.sev",
    "completion": "completion.completion",
}
"""The commands in the order of use, and where they are: only the module of what runs is loaded."""


class Program(Group):
    """The group of all commands; ends every command with a code of the table."""

    def invoke(self, context: click.Context) -> object:
        """Run a command; whatever the world does to it, no traceback is shown."""
        try:
            answer = super().invoke(context)
            sys.stdout.flush()
        except KeyboardInterrupt:
            context.exit(ExitCode.INTERRUPTED)
        except BrokenPipeError:
            _discard_stdout()
            context.exit(ExitCode.CLOSED_PIPE)
        except OSError as error:
            named = f"{error.filename}: " if error.filename else ""
            raise Failure(ExitCode.HOST_TROUBLE, named + in_words(error)) from None
        return answer

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the names of the commands in the order of use."""
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Return the command of this name, if there is one."""
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name].rpartition(".")
        command = getattr(import_module(f"supervisor.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the exit codes; click would fill their lines into a paragraph."""
        formatter.write(f"\n{table()}\n")


@click.group(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="chronovisor", prog_name="chronovisor")
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    envvar=STATE_DIR_VARIABLE,
    expose_value=False,
    callback=override,
    help=f"The daemon's state directory.  [env: {STATE_DIR_VARIABLE}; "
    "default: /var/lib/chronovisor for root, else chronovisor in $XDG_STATE_HOME]",
)
@click.option(
    "--connect",
    metavar="unix:PATH|HOST:PORT",
    envvar=CONNECT_VARIABLE,
    expose_value=False,
    callback=override,
    help=f"The daemon's address.  [env: {CONNECT_VARIABLE}; "
    "default: grpc.sock in the state directory]",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    expose_value=False,
    callback=override,
    help="File with the bearer token, for TCP.  [default: token in the state directory]",
)
@partial(tls_options, expose_value=False, callback=override)
@click.pass_context
def cli(context: click.Context) -> None:
    """Run computations in virtual machines, and never forget what happened to them.

    The options below may also follow the name of a command.
    """
    context.obj = access_of(context)


def _discard_stdout() -> None:
    """Let the interpreter flush what is left at its end without another complaint."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
