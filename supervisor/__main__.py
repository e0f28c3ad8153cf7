"""The entry point: ``chronovisor ...`` and ``python -m supervisor ...``."""

import sys

from supervisor.cli.loading import without_collecting


def main() -> None:
    """Run the command line; Ctrl-C while it is still being loaded ends it as silently as later."""
    try:
        with without_collecting():
            from supervisor.cli.program import cli
    except KeyboardInterrupt:
        sys.exit(130)
    cli(prog_name="chronovisor")


if __name__ == "__main__":
    main()
