"""Groups of commands, which say of each what it does in a whole sentence.

click would cut the sentence off at the end of the line; here it is folded.
"""

import click

WHOLE_CHARACTERS = 1000
"""No command begins with a longer sentence."""


class Group(click.Group):
    """A group whose help has room."""

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, each with the first sentence of its help."""
        found = ((name, self.get_command(context, name)) for name in self.list_commands(context))
        rows = [
            (name, command.get_short_help_str(WHOLE_CHARACTERS))
            for name, command in found
            if command is not None and not command.hidden
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
