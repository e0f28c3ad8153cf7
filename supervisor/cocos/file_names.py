"""Ids of datasets -> names of files that the algorithm finds them under: sound, and each once."""

from collections.abc import Iterable
from itertools import count

from supervisor.vm.input_rules import DATASET_NAME_BYTES

INSTEAD = "_"
NO_NAMES = frozenset({"", ".", ".."})


def file_names(ids: Iterable[str]) -> tuple[str, ...]:
    """Return one name for each id, as near to it as a file name may be."""
    names: list[str] = []
    for each in ids:
        names.append(_unused(_sound(each), names))
    return tuple(names)


def _sound(each: str) -> str:
    kept = (INSTEAD if letter == "/" or not letter.isprintable() else letter for letter in each)
    name = _cut("".join(kept), DATASET_NAME_BYTES)
    return INSTEAD if name in NO_NAMES else name


def _unused(name: str, names: list[str]) -> str:
    if name not in names:
        return name
    for number in count(2):
        ending = f"-{number}"
        other = _cut(name, DATASET_NAME_BYTES - len(ending)) + ending
        if other not in names:
            return other
    raise AssertionError("numbers have no end")


def _cut(text: str, size: int) -> str:
    """Return as much of the text as has room in ``size`` bytes of UTF-8."""
    return text.encode(errors="replace")[:size].decode(errors="ignore")
