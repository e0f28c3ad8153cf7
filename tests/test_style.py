"""The rules that anyone who opens the tree can rely on."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from supervisor.schema import TAGS
from tests.source_tree import PACKAGES, ROOT, modules

FUNCTION_LINES = 60
MODULE_LINES = 300
VOCABULARY_LINES = 520
VOCABULARIES = {"supervisor/vm/events.py", "supervisor/vm/observations.py"}
"""Lists of words: one looks a word up in them, and reads none from top to bottom."""

NOBODY_KNOWS_WHAT = {"utils", "util", "helpers", "common", "manager", "base", "misc"}
"""Names of modules that say nothing of what is in them."""

FOLDERS = ("docs", "eventlog", "examples", "protos", "supervisor", "tests", "tools")
PLACES = re.compile(r"(?<![\w/.])/(?:root|home|work)/")
"""Paths of somebody's machine."""

SLEEPS = {"asyncio.sleep", "time.sleep", "trio.sleep"}

SOURCES = modules(*PACKAGES)
TESTS = modules("tests")


def texts() -> Iterator[tuple[Path, str]]:
    """Yield every text of the tree; in a worktree of git, `.git` is a file that names a place."""
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*"))]
    for path in [*sorted(ROOT.glob("*.*")), *paths]:
        if path.is_file() and not {"__pycache__", ".git"} & set(path.parts):
            try:
                yield path.relative_to(ROOT), path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue  # no text


def test_functions_are_short() -> None:
    lengths = {
        f"{module}: {function.name}": (function.end_lineno or 0) - function.lineno + 1
        for module in SOURCES
        for function in module.functions()
    }
    assert {name: lines for name, lines in lengths.items() if lines > FUNCTION_LINES} == {}


def test_modules_are_short() -> None:
    lengths = {str(module): len(module.text.splitlines()) for module in SOURCES}
    limits = dict.fromkeys(lengths, MODULE_LINES) | dict.fromkeys(VOCABULARIES, VOCABULARY_LINES)
    assert {name: lines for name, lines in lengths.items() if lines > limits[name]} == {}


def test_every_module_has_a_name_that_says_something() -> None:
    named = [*SOURCES, *TESTS]
    assert [str(m) for m in named if NOBODY_KNOWS_WHAT & set(m.name.split("."))] == []


def test_every_module_says_what_it_owns() -> None:
    assert [str(module) for module in SOURCES if ast.get_docstring(module.tree) is None] == []


def test_no_test_sleeps() -> None:
    # A fake may sleep on a mock clock.
    tests = [module for module in TESTS if module.path.name.startswith("test_")]
    assert [str(module) for module in tests if SLEEPS & module.calls] == []


def test_no_test_puts_something_else_in_the_place_of_real_things() -> None:
    mocks = [str(m) for m in TESTS if m.imports_from("unittest.mock", "mock", "pytest_mock")]
    patched = [str(module) for module in TESTS if "monkeypatch.setattr" in module.calls]
    assert (mocks, patched) == ([], [])


def test_tags_of_events_are_well_formed_and_unique() -> None:
    tags = list(TAGS.values())
    assert len(tags) == len(set(tags))
    malformed = [t for t in tags if not re.fullmatch(r"(vm|host|artifact)\.[a-z-]+\.v[0-9]+", t)]
    assert malformed == []


def test_nothing_names_a_place_on_somebodys_machine() -> None:
    found = {str(path): PLACES.findall(text) for path, text in texts() if PLACES.search(text)}
    assert found == {}
