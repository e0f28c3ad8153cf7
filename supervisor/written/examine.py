"""Find everything that is wrong with a parsed file, by walking it along the schema.

msgspec stops at the first wrong field; a person who has three wrong fields wants to hear of three.
The walk only finds violations; a value in which it finds none is converted by :func:`build`.
"""

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import islice
from typing import TypeVar

import msgspec
from msgspec import inspect

from supervisor.vm.commands import FieldViolation
from supervisor.vm.field_rules import VIOLATIONS
from supervisor.written.quantities import (
    Duration,
    Inexact,
    Policy,
    Size,
    parse_duration,
    parse_policy,
    parse_size,
)

GOT_CHARACTERS_MAX = 60
"""A value is shown so that its writer recognises it, not in full: it may be a megabyte."""

T = TypeVar("T")


def examine(value: object, schema: type) -> tuple[FieldViolation, ...]:
    """Return one violation for each wrong field of ``value``, up to a bound."""
    return tuple(islice(_examine(value, _type_info(schema), ""), VIOLATIONS))


def build(value: object, schema: type[T]) -> T:
    """Convert a parsed file in which :func:`examine` found nothing wrong."""
    return msgspec.convert(value, schema, dec_hook=_parse_quantity)


def shown(value: object) -> str:
    """Return a value as an error shows it: one line, printable, bounded."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text if len(text) <= GOT_CHARACTERS_MAX else text[: GOT_CHARACTERS_MAX - 3] + "..."


@cache
def _type_info(schema: type) -> inspect.Type:
    """Return what a schema is made of; it takes longer to find than to examine a value with it."""
    return inspect.type_info(schema)


def _examine(
    value: object, kind: inspect.Type, at: str, takes: str = ""
) -> Iterator[FieldViolation]:
    match kind:
        case inspect.Metadata(type=inner):
            yield from _examine(value, inner, at, takes_what(kind))
        case inspect.UnionType():
            yield from _examine(value, _alternative(value, kind), at, takes)
        case inspect.StructType() if isinstance(value, dict):
            yield from _examine_table(value, kind, at)
        case inspect.VarTupleType() if isinstance(value, list):
            for index, item in enumerate(value):
                yield from _examine(item, kind.item_type, f"{at}[{index}]")
        case inspect.DictType() if isinstance(value, dict):
            for key, item in value.items():
                yield from _examine(item, kind.value_type, _join(at, key))
        case _ if (wrong := _wrong_leaf(value, kind)) is not None:
            description = f"got {shown(value)}; it takes {takes or takes_what(kind)}{wrong}"
            yield FieldViolation(at, description)


def _examine_table(
    table: Mapping[str, object], kind: inspect.StructType, at: str
) -> Iterator[FieldViolation]:
    known = {field.name: field for field in kind.fields}
    for name in table.keys() - known.keys() - {kind.tag_field}:
        yield FieldViolation(_join(at, name), f"unknown field; {advice(name, known)}")
    for name, field in known.items():
        if name in table:
            yield from _examine(table[name], field.type, _join(at, name))
        elif field.required:
            yield FieldViolation(_join(at, name), f"missing; it takes {takes_what(field.type)}")


def _alternative(value: object, union: inspect.UnionType) -> inspect.Type:
    """Return the member of a union that ``value`` is meant to be."""
    if value is None and union.includes_none:
        return inspect.NoneType()
    tables = [kind for kind in union.types if isinstance(kind, inspect.StructType)]
    if tables and isinstance(value, dict):
        return next((kind for kind in tables if _is_tagged_as(kind, value)), tables[0])
    return next(kind for kind in union.types if not isinstance(kind, inspect.NoneType))


def _is_tagged_as(kind: inspect.StructType, table: Mapping[str, object]) -> bool:
    return kind.tag_field is not None and table.get(kind.tag_field) == kind.tag


def _wrong_leaf(value: object, kind: inspect.Type) -> str | None:
    """Return None for a right value, else a hint, which may be empty."""
    match kind:
        case inspect.StrType() if isinstance(value, str):
            return None if _fits(value, kind) else ""
        case inspect.IntType() if isinstance(value, int) and not isinstance(value, bool):
            return None if _lies_within(value, kind) else ""
        case inspect.NoneType() if value is None:
            return None
        case inspect.AnyType():
            return None
        case inspect.BoolType() if isinstance(value, bool):
            return None
        case inspect.EnumType() if isinstance(value, str):
            members = [str(member.value) for member in kind.cls]
            return None if value in members else _did_you_mean(value, members)
        case inspect.CustomType():
            return _wrong_quantity(kind.cls, value)
    return ""


def _fits(text: str, kind: inspect.StrType) -> bool:
    long_enough = len(text) >= (kind.min_length or 0)
    return long_enough and (kind.pattern is None or re.search(kind.pattern, text) is not None)


def _lies_within(number: int, kind: inspect.IntType) -> bool:
    return (kind.ge is None or number >= kind.ge) and (kind.le is None or number <= kind.le)


def _wrong_quantity(kind: type, value: object) -> str | None:
    try:
        _parse_quantity(kind, value)
    except Inexact as why:
        return f"; it is {why}"
    except ValueError:
        return ""
    return None


def _parse_quantity(kind: type, value: object) -> Size | Duration | Policy:
    if kind is Size and isinstance(value, str | int) and not isinstance(value, bool):
        return parse_size(value)
    if kind is Policy and isinstance(value, str | int) and not isinstance(value, bool):
        return parse_policy(value)
    if kind is Duration and isinstance(value, str):
        return parse_duration(value)
    raise ValueError


def takes_what(kind: inspect.Type) -> str:
    """Return what a field takes, in the words of its annotation where it has one."""
    match kind:
        case inspect.Metadata(extra_json_schema={"description": str(description)}):
            return description
        case inspect.Metadata(type=inner):
            return takes_what(inner)
        case inspect.UnionType():
            return takes_what(_alternative("", kind))
        case inspect.EnumType():
            return _listed(f'"{member.value}"' for member in kind.cls)
        case inspect.StructType():
            return f"a table of {_listed(field.name for field in kind.fields)}"
        case inspect.VarTupleType():
            return "a list"
        case inspect.StrType():
            return "text"
        case inspect.IntType():
            return "a whole number"
        case inspect.BoolType():
            return "true or false"
    return "a table of texts"


def advice(name: str, known: Iterable[str]) -> str:
    """Return the name that an unknown one is near to, or all that there are."""
    return _did_you_mean(name, list(known)).lstrip("; ") or f"takes {_listed(known)}"


def _did_you_mean(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f'; did you mean "{near[0]}"?' if near else ""


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words)


def _join(at: str, name: str) -> str:
    shown_name = name if name.isprintable() and len(name) <= GOT_CHARACTERS_MAX else shown(name)
    return f"{at}.{shown_name}" if at else shown_name
