"""A computation as the Cocos manager documented it, in both of its historical shapes.

The later shape names each input by an object, ``{"provider": ..., "id": ...}``; the earlier one by
its id alone, with a list of providers beside. Either may come as it is, or as an array of byte
values under ``computation``, or as base64, which is how Go writes such a field.
"""

import base64
from contextlib import suppress
from typing import Any

import msgspec

from supervisor.vm.commands import FieldViolation
from supervisor.written.examine import examine, shown
from supervisor.written.json_object import read_object

WRAPPER = "computation"


class Party(msgspec.Struct, frozen=True):
    """One input and who brings it."""

    id: str
    provider: str = ""


class Computation(msgspec.Struct, frozen=True):
    """What the manager was asked to run; Go writes null for a list that was never filled.

    ``status`` and the two times are what a manager says of a computation; they order nothing.
    """

    id: str = ""
    name: str = ""
    description: str = ""
    status: str = ""
    owner: str = ""
    start_time: Any = None
    end_time: Any = None
    datasets: tuple[str | Party, ...] | None = None
    algorithms: tuple[str | Party, ...] | None = None
    dataset_providers: tuple[str, ...] | None = None
    algorithm_providers: tuple[str, ...] | None = None
    result_consumers: tuple[str, ...] | None = None
    ttl: int | None = None
    """In seconds."""
    metadata: dict[str, Any] | None = None
    timeout: str | None = None
    """As Go writes a duration."""


class Untranslatable(Exception):
    """A request that is no computation of ours; every wrong field is named."""

    def __init__(self, *violations: FieldViolation) -> None:
        super().__init__("; ".join(f"{wrong.field}: {wrong.description}" for wrong in violations))
        self.violations = violations


def read_computation(document: bytes) -> Computation:
    """Return what a client sent, wrapped or not. Raises Untranslatable."""
    tree = _parse(document, "body")
    if WRAPPER in tree:
        tree = _parse(_unwrapped(tree), WRAPPER)
    if wrong := examine(tree, Computation):
        raise Untranslatable(*wrong)
    return msgspec.convert(tree, Computation)


def _unwrapped(tree: dict[str, object]) -> bytes:
    if others := sorted(tree.keys() - {WRAPPER}):
        told = f"stands beside {WRAPPER!r}, which is the whole request"
        raise Untranslatable(*(FieldViolation(shown(name).strip('"'), told) for name in others))
    packed = tree[WRAPPER]
    with suppress(ValueError):
        if isinstance(packed, list) and all(type(value) is int for value in packed):
            return bytes(packed)
        if isinstance(packed, str):
            return base64.b64decode(packed, validate=True)
    takes = "it takes the JSON of a computation as an array of byte values, 0 to 255"
    raise Untranslatable(FieldViolation(WRAPPER, f"got {shown(packed)}; {takes}"))


def _parse(document: bytes, field: str) -> dict[str, object]:
    try:
        return read_object(document, "a computation")
    except ValueError as why:
        raise Untranslatable(FieldViolation(field, str(why))) from None
