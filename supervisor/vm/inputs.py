"""Inputs that a manifest names by who provides them: which they are, and what became of them.

An input without a digest is awaited from its provider. Once every provider has brought its own, the
manifest names digests only, and is as good as one that did so from the beginning.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import msgspec

from supervisor.vm.spec import Algorithm, Dataset, Manifest

ALGORITHM_ID = "algorithm"
"""What an algorithm is called that has no id of its own."""

S = TypeVar("S", Algorithm, Dataset)


TOLD = 5
"""Names in one sentence; a manifest may have as many as datasets."""


class InputName(msgspec.Struct, frozen=True):
    """Who is to provide an input, and what the provider calls it."""

    provider: str
    id: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.id}"


class ProvidedInput(msgspec.Struct, frozen=True):
    """An input that came, as an artifact of the store; ``size`` is in bytes."""

    name: InputName
    sha256: str
    size: int


def name_of(source: Algorithm | Dataset) -> InputName:
    """Return under which name an input is provided."""
    otherwise = source.name if isinstance(source, Dataset) else ALGORITHM_ID
    return InputName(source.provider, source.id or otherwise)


def awaited_inputs(manifest: Manifest) -> tuple[InputName, ...]:
    """Return the inputs without a digest, in the order of the manifest."""
    return tuple(name_of(source) for _, source in awaited(manifest))


def awaited(manifest: Manifest) -> Iterator[tuple[str, Algorithm | Dataset]]:
    """Yield each input that somebody is to bring, with the field that names it."""
    sources: dict[str, Algorithm | Dataset] = {"algorithm": manifest.algorithm}
    sources |= {f"datasets[{index}]": each for index, each in enumerate(manifest.datasets)}
    yield from (item for item in sources.items() if _is_awaited(item[1]))


def missing_inputs(manifest: Manifest, provided: Iterable[ProvidedInput]) -> tuple[InputName, ...]:
    """Return the awaited inputs that have not come yet."""
    there = {each.name for each in provided}
    return tuple(name for name in awaited_inputs(manifest) if name not in there)


def listed(names: Sequence[InputName]) -> str:
    """Return some names in one line."""
    told = ", ".join(map(str, names[:TOLD]))
    return f"{told} and {len(names) - TOLD} more" if len(names) > TOLD else told


def with_inputs(manifest: Manifest, provided: Iterable[ProvidedInput]) -> Manifest:
    """Return the manifest with the digests of what came in the places of what was awaited."""
    digests = {each.name: each.sha256 for each in provided}

    def filled(source: S) -> S:
        digest = digests.get(name_of(source), "") if _is_awaited(source) else source.sha256
        return msgspec.structs.replace(source, sha256=digest)

    return msgspec.structs.replace(
        manifest,
        algorithm=filled(manifest.algorithm),
        datasets=tuple(filled(dataset) for dataset in manifest.datasets),
    )


def _is_awaited(source: Algorithm | Dataset) -> bool:
    return not source.sha256 and bool(source.provider)
