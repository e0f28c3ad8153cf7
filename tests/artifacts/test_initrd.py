"""Layers joined into one initrd: aligned, once for each list, and never lost for good."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from supervisor.artifacts.initrd import Layer, join_layers
from supervisor.artifacts.store import ArtifactStore


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


async def layer(store: ArtifactStore, content: bytes) -> Layer:
    async def chunks() -> AsyncIterator[bytes]:
        yield content

    stored = await store.add(chunks(), limit_bytes=len(content))
    return Layer(store.path(stored.sha256), stored.sha256)


async def test_each_layer_begins_at_a_multiple_of_four(store: ArtifactStore) -> None:
    layers = [await layer(store, content) for content in (b"first", b"2nd!", b"x")]
    joined = join_layers(store, layers)
    assert store.path(joined.sha256).read_bytes() == b"first" + bytes(3) + b"2nd!" + b"x" + bytes(3)
    assert joined.size == store.size(joined.sha256)


async def test_the_same_list_is_joined_once(store: ArtifactStore) -> None:
    layers = [await layer(store, b"first"), await layer(store, b"second")]
    joined = join_layers(store, layers)
    inode = store.path(joined.sha256).stat().st_ino
    assert join_layers(store, layers) == joined
    assert store.path(joined.sha256).stat().st_ino == inode


async def test_the_order_of_layers_matters(store: ArtifactStore) -> None:
    first, second = await layer(store, b"first"), await layer(store, b"second")
    assert join_layers(store, [first, second]) != join_layers(store, [second, first])


async def test_a_join_that_was_removed_is_made_again(store: ArtifactStore) -> None:
    layers = [await layer(store, b"first"), await layer(store, b"second")]
    joined = join_layers(store, layers)
    store.path(joined.sha256).unlink()
    assert join_layers(store, layers) == joined
    assert store.path(joined.sha256).is_file()
