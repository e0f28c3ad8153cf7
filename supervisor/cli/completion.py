"""`completion`: the script that teaches a shell to complete our commands."""

import click
from click.shell_completion import get_completion_class

PROGRAM = "chronovisor"
VARIABLE = "_CHRONOVISOR_COMPLETE"
"""What click looks for when the script calls us back."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of SHELL.

    \b
    Example, in ~/.bashrc:
      eval "$(chronovisor completion bash)"
    """
    kind = get_completion_class(shell)
    if kind is not None:
        click.echo(kind(context.find_root().command, {}, PROGRAM, VARIABLE).source())
