"""What a manifest may say of its algorithm and its datasets, and who is to bring which of them."""

from collections.abc import Iterator

from supervisor.vm.commands import FieldViolation
from supervisor.vm.field_rules import (
    check_count,
    check_digest,
    check_label,
    check_text,
    quoted,
    violation,
)
from supervisor.vm.guest_agent import OwnAgent
from supervisor.vm.inputs import InputName, awaited, name_of
from supervisor.vm.spec import Algorithm, Dataset, Manifest

ARGUMENTS = 256
ARGUMENT_BYTES = 4096
DATASETS = 64
DATASET_NAME_BYTES = 128
ENCRYPTION_CHARACTERS = 256


def input_violations(manifest: Manifest) -> Iterator[FieldViolation]:
    """Yield what is wrong with the inputs, under the names of their fields."""
    if manifest.algorithm != Algorithm() or not isinstance(manifest.agent, OwnAgent):
        yield from _algorithm(manifest.algorithm)
    yield from _datasets(manifest.datasets)
    yield from _names(manifest)


def _algorithm(algorithm: Algorithm) -> Iterator[FieldViolation]:
    yield from _source("algorithm", algorithm)
    yield from check_count("algorithm.arguments", len(algorithm.arguments), 0, ARGUMENTS)
    for index, argument in enumerate(algorithm.arguments[:ARGUMENTS]):
        yield from check_text(f"algorithm.arguments[{index}]", argument, ARGUMENT_BYTES)


def _datasets(datasets: tuple[Dataset, ...]) -> Iterator[FieldViolation]:
    yield from check_count("datasets", len(datasets), 0, DATASETS)
    seen: set[str] = set()
    for index, dataset in enumerate(datasets[:DATASETS]):
        yield from _dataset_name(f"datasets[{index}].name", dataset.name, seen)
        yield from _source(f"datasets[{index}]", dataset)
        seen.add(dataset.name)


def _source(field: str, source: Algorithm | Dataset) -> Iterator[FieldViolation]:
    if source.sha256:
        yield from check_digest(f"{field}.sha256", source.sha256)
    elif not source.provider:
        takes = "it takes a digest, or else a provider who brings the file later"
        yield FieldViolation(f"{field}.sha256", f"is missing; {takes}")
    yield from check_label(f"{field}.provider", source.provider)
    yield from check_label(f"{field}.id", source.id)
    yield from check_label(f"{field}.encryption", source.encryption, most=ENCRYPTION_CHARACTERS)


def _names(manifest: Manifest) -> Iterator[FieldViolation]:
    seen: set[InputName] = set()
    for field, source in awaited(manifest):
        name = name_of(source)
        if name in seen:
            got = f"got {quoted(name.id)} of {quoted(name.provider)}"
            told = f"{got}; it takes one that the provider brings for no other input"
            yield FieldViolation(f"{field}.id", told)
        seen.add(name)


def _dataset_name(field: str, name: str, seen: set[str]) -> Iterator[FieldViolation]:
    if name in {"", ".", ".."} or "/" in name or not name.isprintable():
        yield violation(field, name, "a file name without '/' and control characters")
    elif len(name.encode()) > DATASET_NAME_BYTES:
        yield violation(field, name, f"at most {DATASET_NAME_BYTES} bytes")
    elif name in seen:
        yield violation(field, name, "a name that no other dataset has")
