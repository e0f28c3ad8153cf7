"""A manifest file -> :class:`Draft`, or every reason why it is none."""

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec.inspect import type_info

from supervisor.manifest.schema import (
    AgentKind,
    AgentSection,
    AlgorithmSection,
    DatasetEntry,
    Draft,
    ImageEntry,
)
from supervisor.vm.commands import FieldViolation
from supervisor.written.examine import build, examine, takes_what

FILE_BYTES_MAX = 1 << 20
"""A manifest names data, it does not hold any; a larger file is something else."""


class ManifestInvalid(Exception):
    """A manifest is wrong; the message has one line for each wrong field."""

    def __init__(self, file: Path, violations: tuple[FieldViolation, ...]) -> None:
        self.file = file
        self.violations = violations
        super().__init__("\n".join(self._lines()))

    def _lines(self) -> Iterator[str]:
        for violation in self.violations:
            field = f"{violation.field}: " if violation.field else ""
            yield f"{self.file}: {field}{violation.description}"


def load(file: Path) -> Draft:
    """Read a manifest file; local files that it names are not looked at.

    Raises :class:`ManifestInvalid`.
    """
    tree = _parse(file, _read(file))
    violations = examine(tree, Draft)
    if violations:
        raise ManifestInvalid(file, violations)
    draft = build(tree, Draft)
    violations = tuple(_incomplete(draft))
    if violations:
        raise ManifestInvalid(file, violations)
    return draft


def _read(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            content = stream.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise _unreadable(file, (error.strerror or "cannot be read").lower()) from None
    if len(content) > FILE_BYTES_MAX:
        raise _unreadable(file, f"larger than {FILE_BYTES_MAX} bytes, which no manifest is")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise _unreadable(file, f"not UTF-8 text (byte {error.start})") from None


def _parse(file: Path, text: str) -> Mapping[str, object]:
    is_json = file.suffix == ".json" or text.lstrip().startswith("{")
    language, parse = ("JSON", _parse_json) if is_json else ("TOML", tomllib.loads)
    try:
        tree = parse(text)
    except ValueError as error:
        raise _unreadable(file, f"not {language}: {error}") from None
    except RecursionError:
        raise _unreadable(file, f"not {language}: nested too deeply") from None
    if not isinstance(tree, dict):
        raise _unreadable(file, "a manifest is one table of fields")
    return tree


def _parse_json(text: str) -> object:
    return json.loads(text, object_pairs_hook=_table_without_duplicates)


def _table_without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f'"{twice}" is given twice')
    return table


def _unreadable(file: Path, why: str) -> ManifestInvalid:
    return ManifestInvalid(file, (FieldViolation("", why),))


def _incomplete(draft: Draft) -> Iterator[FieldViolation]:
    """Yield what the schema cannot say: which fields of a table belong together."""
    yield from _without_source(draft)
    yield from _out_of_place(draft.agent)
    for field, image in images(draft):
        if isinstance(image, ImageEntry) and (image.name is None) == (
            image.path is None and image.sha256 is None
        ):
            yield FieldViolation(field, "takes either a name of the catalogue, or path or sha256")


def _without_source(draft: Draft) -> Iterator[FieldViolation]:
    for field, source in inputs(draft):
        if source == AlgorithmSection():
            if draft.agent.kind is AgentKind.REFERENCE:
                takes = takes_what(type_info(AlgorithmSection))
                yield FieldViolation(field, f"missing; it takes {takes}")
        elif source.path is None and source.sha256 is None and not source.provider:
            whole = "takes a path, a sha256, or both (the file must match)"
            yield FieldViolation(field, f"{whole}, or a provider who brings the file later")


def _out_of_place(agent: AgentSection) -> Iterator[FieldViolation]:
    if agent.kind is AgentKind.OWN:
        return
    for name in ("port", "ready"):
        if getattr(agent, name) != getattr(AgentSection(AgentKind.REFERENCE), name):
            told = 'goes with kind "own": the reference agent is found and heard by itself'
            yield FieldViolation(f"agent.{name}", told)


def inputs(draft: Draft) -> Iterator[tuple[str, AlgorithmSection | DatasetEntry]]:
    """Yield the algorithm and each dataset, with the field that names it."""
    yield "algorithm", draft.algorithm
    for index, dataset in enumerate(draft.datasets):
        yield f"datasets[{index}]", dataset


def images(draft: Draft) -> Iterator[tuple[str, str | ImageEntry]]:
    """Yield each image that a draft names, with the field that names it."""
    yield "vm.kernel", draft.vm.kernel
    for index, layer in enumerate(draft.vm.initrd or ()):
        yield f"vm.initrd[{index}]", layer
    if draft.vm.firmware is not None:
        yield "vm.firmware", draft.vm.firmware
    if draft.vm.firmware_vars is not None:
        yield "vm.firmware_vars", draft.vm.firmware_vars
