"""`python -m chronovisor_guest build DIR [--refresh] [--json]`."""

import argparse
import sys
from pathlib import Path

from chronovisor_guest import GuestError, Layer, Progress, build
from chronovisor_guest.catalogue import Catalogue, as_json


def main() -> int:
    """Build as the arguments say; 0 when the guest is there."""
    arguments = _parser().parse_args()
    layers = [Layer(name) for name in arguments.layers]
    try:
        built = build(arguments.directory, wanted=layers, report=_show, refresh=arguments.refresh)
    except GuestError as error:
        print(f"guest: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(as_json(built) if arguments.json else _summary(built, arguments.directory), end="")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="chronovisor_guest", description=__doc__)
    build_command = parser.add_subparsers(required=True).add_parser("build")
    build_command.add_argument("directory", type=Path, metavar="DIR")
    names = [layer.value for layer in Layer]
    build_command.add_argument("--layers", nargs="+", choices=names, default=names)
    build_command.add_argument("--refresh", action="store_true", help="look for newer packages")
    build_command.add_argument("--json", action="store_true", help="print the catalogue")
    return parser


def _show(progress: Progress) -> None:
    print(f"[{progress.done}/{progress.total}] {progress.stage}", file=sys.stderr)


def _summary(built: Catalogue, directory: Path) -> str:
    lines = (
        f"{name:18} {entry.size:>10}  {directory / entry.file}\n"
        for name, entry in built.entries.items()
    )
    return "".join(lines)


if __name__ == "__main__":
    sys.exit(main())
