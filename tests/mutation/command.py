"""`tools/mutate_sev`: every mutant of supervisor/sev against the tests of SEV.

Ends with 1 where a mutant survives that docs/confidential-mutants.md does not explain, or where it
explains one that does not survive any more.
"""

import argparse
import ast
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.trial import Verdict, prepare, trial

ROOT = Path(__file__).parents[2]
PACKAGE = "supervisor/sev"
EXPLAINED = ROOT / "docs" / "confidential-mutants.md"
TESTS = (
    "test_launch",
    "test_session",
    "test_edges",
    "test_attestation_report",
    "test_digest",
    "test_platform",
    "test_report",
)
"""Those that need nothing but the repository, the quick ones first."""


def main() -> int:
    """Run the mutants, one after the other, and tell which survived."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", help="such as policy; all where none is named")
    parser.add_argument("--list", action="store_true", help="only name the mutants")
    options = parser.parse_args()
    mutants = list(_mutants(options.modules))
    if options.list:
        print(*(each.name for each in mutants), sep="\n")
        return 0
    os.chdir(ROOT)
    os.environ["CHRONOVISOR_SEV_VECTORS"] = os.devnull
    began = time.monotonic()
    tests = [f"tests/sev/{name}.py" for name in TESTS]
    prepare(tests)
    if trial(_undamaged(mutants[0].module), tests) is not Verdict.SURVIVED:
        raise RuntimeError("the tests fail in a trial of their own without any damage")
    survivors = [each.name for each in mutants if not _dies(each, tests)]
    minutes = (time.monotonic() - began) / 60
    print(f"{len(mutants)} mutants, {len(survivors)} survived, {minutes:.1f} minutes")
    return _judge(survivors, {each.name for each in mutants})


def _dies(mutant: Mutant, tests: list[str]) -> bool:
    verdict = trial(mutant, tests)
    if verdict is Verdict.SURVIVED:
        print(f"survived  {mutant.name}", flush=True)
    return verdict is not Verdict.SURVIVED


def _judge(survivors: list[str], tried: set[str]) -> int:
    explained = set(re.findall(r"^- `(.+)`$", EXPLAINED.read_text(), re.MULTILINE))
    unexplained = [name for name in survivors if name not in explained]
    outlived = sorted((explained & tried) - set(survivors))
    for name in unexplained:
        print(f"unexplained  {name}", file=sys.stderr)
    for name in outlived:
        print(f"killed, and explained all the same  {name}", file=sys.stderr)
    return 1 if unexplained or outlived else 0


def _undamaged(module: str) -> Mutant:
    source = (ROOT / module.replace(".", "/")).with_suffix(".py").read_text()
    return Mutant(module, "nothing", ast.parse(source))


def _mutants(modules: list[str]) -> Iterator[Mutant]:
    for file in sorted((ROOT / PACKAGE).glob("*.py")):
        if not modules or file.stem in modules:
            yield from mutants_of(file, f"{PACKAGE.replace('/', '.')}.{file.stem}")
