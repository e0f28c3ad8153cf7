"""The project's own sources, parsed: what the tests of its shape look at."""

import ast
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

PACKAGES = ("supervisor", "eventlog", "protos/chronovisor_api", "tools/guest/chronovisor_guest")
"""Where each import root lies."""

GENERATED = "_generated"

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Module:
    """One Python file under the name by which it is imported."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        self.text = path.read_text(encoding="utf-8")

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT))

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax of the whole file."""
        return ast.parse(self.text)

    @cached_property
    def imports(self) -> frozenset[str]:
        """Every name that is imported anywhere in the file, ``package.module`` where it is one."""
        return frozenset(_imported(self.tree))

    @cached_property
    def calls(self) -> frozenset[str]:
        """Everything that is called anywhere in the file, as it is written there."""
        calls = (node for node in ast.walk(self.tree) if isinstance(node, ast.Call))
        return frozenset(ast.unparse(call.func) for call in calls)

    def functions(self) -> Iterator[Function]:
        """Every function and method, inner ones too."""
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))

    def imports_from(self, *packages: str) -> set[str]:
        """Return what the file imports from any of ``packages``."""
        return {name for name in self.imports if is_within(name, packages)}


def is_within(name: str, packages: tuple[str, ...]) -> bool:
    """Return whether a dotted name is one of ``packages`` or something in one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def modules(*roots: str) -> list[Module]:
    """Return the hand-written modules under some of the tree's folders."""
    return [
        Module(path, _name(ROOT / root, path))
        for root in roots
        for path in sorted((ROOT / root).rglob("*.py"))
        if GENERATED not in path.parts
    ]


def _name(root: Path, path: Path) -> str:
    parts = path.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
