"""`tools/fuzz`: its options, and its verdict on paper."""

import argparse
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

import msgspec
import trio

from chronovisor_fuzz import openapi
from chronovisor_fuzz.campaign import KINDS, Campaign
from chronovisor_fuzz.verdict import lines

MINUTES = 1.0
PATIENCE_S = 5.0
"""Within which every health check is answered, whatever others do."""


def main() -> int:
    """Attack a daemon and print the verdict; return 0 only if nothing was found."""
    arguments = _parse()
    kinds = (arguments.only,) if arguments.only else tuple(KINDS)
    if "http" in kinds and not openapi.is_installed():
        sys.stderr.write("fuzz: without Schemathesis; it is in the extra `fuzz`\n")
    with tempfile.TemporaryDirectory(prefix="cv-") as name:
        campaign = Campaign(
            Path(name), arguments.catalogue, arguments.seed, kinds, arguments.patience
        )
        found = trio.run(campaign.run, arguments.minutes * 60)
        if not found.passed and arguments.keep:
            shutil.copytree(name, arguments.keep, dirs_exist_ok=True, ignore=_no_sockets)
    if arguments.json:
        print(msgspec.json.encode({"passed": found.passed, **msgspec.to_builtins(found)}).decode())
    else:
        print("\n".join(lines(found)))
    return 0 if found.passed else 1


def _no_sockets(directory: str, names: list[str]) -> set[str]:
    return {name for name in names if Path(directory, name).is_socket()}


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Attack a daemon as hostile clients would.")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="[default: 1]")
    parser.add_argument(
        "--seed", type=int, default=random.randrange(2**31), help="of what is tried [default: any]"
    )
    parser.add_argument("--only", choices=tuple(KINDS), help="one API [default: all of them]")
    parser.add_argument(
        "--patience",
        type=float,
        default=PATIENCE_S,
        metavar="SECONDS",
        help="for a health check [default: 5]",
    )
    parser.add_argument(
        "--catalogue",
        type=Path,
        default=Path(os.environ.get("CHRONOVISOR_GUEST_DIR", ".cache/guest")),
        help="the guests [default: CHRONOVISOR_GUEST_DIR, or .cache/guest]",
    )
    parser.add_argument("--keep", type=Path, help="where a run that failed leaves its state")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()
