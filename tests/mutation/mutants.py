"""Every small damage to a module: another operator, comparison or constant, a check left out.

Sentences of refusals and annotations are left as they are: they decide nothing.
"""

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
}
SHOWN_MAX = 72
"""Characters of the code round a damage that its name shows."""

Parents = dict[ast.AST, ast.AST]


class Damage(NamedTuple):
    """What to do to a tree; a name where the code round it would not show it."""

    apply: Callable[[], None]
    name: str = ""


@dataclass(frozen=True)
class Mutant:
    """A module with one damage, and the name of the damage."""

    module: str
    name: str
    tree: ast.Module


def mutants_of(file: Path, module: str) -> Iterator[Mutant]:
    """Yield each mutant of a module; two with the same text are told apart by a number."""
    source = file.read_text()
    seen: Counter[str] = Counter()
    _, nodes, parents = _read(source)
    for at, node in enumerate(nodes):
        if not _decides_something(node, parents):
            continue
        for which in range(len(list(_damages(node, parents)))):
            tree, fresh, above = _read(source)
            name = _damaged(fresh[at], which, above)
            seen[name] += 1
            number = f" #{seen[name]}" if seen[name] > 1 else ""
            yield Mutant(module, f"{file.stem}: {name}{number}", ast.fix_missing_locations(tree))


def _read(source: str) -> tuple[ast.Module, list[ast.AST], Parents]:
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    return tree, nodes, {child: each for each in nodes for child in ast.iter_child_nodes(each)}


def _damaged(target: ast.AST, which: int, parents: Parents) -> str:
    """Do a damage, and return what it makes of the code round it."""
    damage = list(_damages(target, parents))[which]
    shown, place = _shown(target, parents), _function(target, parents)
    if damage.name:
        damage.apply()
        return f"{place}: {damage.name}"
    before = _header(shown)
    damage.apply()
    ast.fix_missing_locations(shown)
    return f"{place}: {before} -> {_header(shown)}"


def _header(node: ast.AST) -> str:
    """Return a node's code on one line: of a block, the line that opens it."""
    code = ast.unparse(node)
    if isinstance(node, ast.If | ast.While):
        code = ast.unparse(node.test)
    return " ".join(code.split())


def _shown(node: ast.AST, parents: Parents) -> ast.AST:
    shown = node
    while not isinstance(shown, ast.stmt) and len(ast.unparse(parents[shown])) <= SHOWN_MAX:
        shown = parents[shown]
    return shown


def _function(node: ast.AST, parents: Parents) -> str:
    while node in parents:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            return node.name
        node = parents[node]
    return "module"


def _decides_something(node: ast.AST, parents: Parents) -> bool:
    while node in parents:
        parent = parents[node]
        if isinstance(parent, ast.JoinedStr | ast.Raise):
            return False
        if isinstance(parent, ast.AnnAssign | ast.arg) and node is parent.annotation:
            return False
        if isinstance(parent, ast.FunctionDef) and node is parent.returns:
            return False
        if isinstance(parent, ast.keyword) and parent.arg == "frozen":
            return False
        if isinstance(parent, ast.If) and "TYPE_CHECKING" in ast.unparse(parent.test):
            return False
        if isinstance(parent, ast.Expr) and isinstance(node, ast.Constant):
            return False
        node = parent
    return True


def _damages(node: ast.AST, parents: Parents) -> Iterator[Damage]:
    if isinstance(node, ast.Compare):
        for at, comparison in enumerate(node.ops):
            yield Damage(partial(node.ops.__setitem__, at, COMPARISONS[type(comparison)]()))
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in OPERATORS:
        yield Damage(partial(setattr, node, "op", OPERATORS[type(node.op)]()))
    elif isinstance(node, ast.BoolOp):
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield Damage(partial(setattr, node, "op", other))
    elif isinstance(node, ast.Constant) and _can_change(node, parents):
        yield Damage(partial(setattr, node, "value", _another(node.value)))
    elif isinstance(node, ast.If | ast.IfExp | ast.While) and not isinstance(
        node.test, ast.Compare
    ):
        yield Damage(partial(setattr, node, "test", _negated(node.test)))
    yield from _left_out(node)


def _left_out(node: ast.AST) -> Iterator[Damage]:
    """A statement that refuses, or that only calls something, is passed over."""
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        if not isinstance(block, list):  # of a conditional expression
            continue
        for at, each in enumerate(block):
            calls = isinstance(each, ast.Expr) and isinstance(each.value, ast.Call)
            if calls or isinstance(each, ast.Raise):
                pass_over = partial(block.__setitem__, at, ast.Pass())
                yield Damage(pass_over, f"without {_header(each)[:SHOWN_MAX]}")


def _can_change(node: ast.Constant, parents: Parents) -> bool:
    if isinstance(node.value, str):
        return " " not in node.value and _is_setting(node, parents)
    return isinstance(node.value, bool | int | bytes)


def _is_setting(node: ast.AST, parents: Parents) -> bool:
    """Whether a text is a module's constant."""
    while node in parents:
        if isinstance(node, ast.FunctionDef):
            return False
        node = parents[node]
    return True


def _another(value: object) -> object:
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case bytes():
            return bytes([value[0] ^ 1]) + value[1:] if value else b"\1"
        case str():
            return value[:-1] + ("1" if value.endswith("0") else "0")
    raise TypeError(type(value))


def _negated(test: ast.expr) -> ast.expr:
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return test.operand
    return ast.UnaryOp(ast.Not(), test)
