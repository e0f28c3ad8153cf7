"""Hash trees against known answers and against the recursive definitions of RFC 6962."""

from hashlib import sha256

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eventlog import merkle
from eventlog.merkle import EMPTY_ROOT, Frontier, leaf_hash

ENTRIES = [
    bytes.fromhex(entry)
    for entry in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
"""The entries that implementations of Certificate Transparency test themselves with."""

ROOTS = [
    bytes.fromhex(root)
    for root in (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
"""Their roots, for trees of 0 to 8 of them."""

INCLUSION: dict[tuple[int, int], tuple[str, ...]] = {
    (0, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (5, 8): (
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
}
CONSISTENCY: dict[tuple[int, int], tuple[str, ...]] = {
    (1, 1): (),
    (1, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (6, 8): (
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 5): (
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ),
}
LARGEST = 70


def mth(entries: list[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, word for word."""
    if not entries:
        return sha256(b"").digest()
    if len(entries) == 1:
        return sha256(b"\x00" + entries[0]).digest()
    k = split(len(entries))
    return sha256(b"\x01" + mth(entries[:k]) + mth(entries[k:])).digest()


def split(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def path(m: int, entries: list[bytes]) -> list[bytes]:
    """PATH of section 2.1.1."""
    if len(entries) == 1:
        return []
    k = split(len(entries))
    if m < k:
        return [*path(m, entries[:k]), mth(entries[k:])]
    return [*path(m - k, entries[k:]), mth(entries[:k])]


def proof(m: int, entries: list[bytes], *, known: bool = True) -> list[bytes]:
    """SUBPROOF of section 2.1.2; PROOF is the one that begins with a known root."""
    if m == len(entries):
        return [] if known else [mth(entries)]
    k = split(len(entries))
    if m <= k:
        return [*proof(m, entries[:k], known=known), mth(entries[k:])]
    return [*proof(m - k, entries[k:], known=False), mth(entries[:k])]


def nodes(entries: list[bytes]) -> merkle.Node:
    """Complete subtrees, by their definition."""

    def node(height: int, index: int) -> bytes:
        return mth(entries[index << height : (index + 1) << height])

    return node


def numbered(size: int) -> list[bytes]:
    return [b"%d" % number for number in range(size)]


sizes = st.integers(1, LARGEST)


@pytest.mark.parametrize("size", range(len(ROOTS)))
def test_roots_are_those_that_everybody_knows(size: int) -> None:
    frontier = Frontier()
    frontier.extend([leaf_hash(entry) for entry in ENTRIES[:size]])
    assert (frontier.size, frontier.root) == (size, ROOTS[size])
    assert mth(ENTRIES[:size]) == ROOTS[size]


def test_paths_are_those_that_everybody_knows() -> None:
    for (index, size), known in INCLUSION.items():
        found = merkle.inclusion_path(index, size, nodes(ENTRIES))
        assert [step.hex() for step in found] == list(known)
    for (old, size), known in CONSISTENCY.items():
        found = merkle.consistency_path(old, size, nodes(ENTRIES))
        assert [step.hex() for step in found] == list(known)


@given(st.lists(st.lists(st.binary(max_size=3), max_size=40), max_size=8))
def test_a_frontier_has_the_root_of_its_leaves_however_they_come(
    groups: list[list[bytes]],
) -> None:
    frontier = Frontier()
    for group in groups:
        frontier.extend([leaf_hash(entry) for entry in group])
    entries = [entry for group in groups for entry in group]
    assert (frontier.size, frontier.root) == (len(entries), mth(entries))


@given(st.integers(0, LARGEST), st.integers(0, LARGEST))
def test_a_frontier_goes_on_from_its_bytes(before: int, more: int) -> None:
    entries = numbered(before + more)
    frontier = Frontier()
    frontier.extend([leaf_hash(entry) for entry in entries[:before]])
    again = Frontier.decode(frontier.encode())
    again.extend([leaf_hash(entry) for entry in entries[before:]])
    assert again.root == mth(entries)


@pytest.mark.parametrize("data", [b"", b"\x92\x03\x91\xc4\x00", b"\x92\x01\x91\xc4\x01x", b"\x90"])
def test_bytes_that_are_no_frontier_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Frontier.decode(data)


@given(st.data(), sizes)
def test_inclusion_paths_follow_the_definition_and_hold(data: st.DataObject, size: int) -> None:
    index = data.draw(st.integers(0, size - 1))
    entries = numbered(size)
    made = merkle.inclusion_path(index, size, nodes(entries))
    assert made == path(index, entries)
    leaf = leaf_hash(entries[index])
    assert merkle.root_from_inclusion(index, size, leaf, made) == mth(entries)


@given(st.data(), sizes)
@example(None, 1)
def test_consistency_paths_follow_the_definition_and_hold(
    data: st.DataObject | None, size: int
) -> None:
    old = data.draw(st.integers(1, size)) if data else size
    entries = numbered(size)
    made = merkle.consistency_path(old, size, nodes(entries))
    assert made == proof(old, entries)
    assert merkle.is_consistent(old, mth(entries[:old]), size, mth(entries), made)


def test_everything_continues_the_empty_tree() -> None:
    root = mth(numbered(5))
    assert merkle.consistency_path(0, 5, nodes(numbered(5))) == []
    assert merkle.is_consistent(0, EMPTY_ROOT, 5, root, [])
    assert not merkle.is_consistent(0, root, 5, root, [])
    assert not merkle.is_consistent(5, root, 4, root, [])


@given(st.data(), sizes)
def test_a_wrong_inclusion_path_does_not_lead_to_the_root(data: st.DataObject, size: int) -> None:
    index = data.draw(st.integers(0, size - 1))
    entries = numbered(size)
    root, leaf = mth(entries), leaf_hash(entries[index])
    made = merkle.inclusion_path(index, size, nodes(entries))
    for wrong in mutilated(made):
        assert merkle.root_from_inclusion(index, size, leaf, wrong) != root
    other = data.draw(st.integers(-1, size + 1).filter(lambda other: other != index))
    assert merkle.root_from_inclusion(other, size, leaf, made) != root
    assert merkle.root_from_inclusion(index, size, leaf_hash(b"other"), made) != root


@given(st.data(), st.integers(2, LARGEST))
def test_a_tree_that_was_changed_does_not_continue_the_old_one(
    data: st.DataObject, size: int
) -> None:
    old = data.draw(st.integers(1, size - 1))
    entries = numbered(size)
    old_root, root = mth(entries[:old]), mth(entries)
    made = merkle.consistency_path(old, size, nodes(entries))
    for wrong in mutilated(made):
        assert not merkle.is_consistent(old, old_root, size, root, wrong)
    changed = list(entries)
    changed[data.draw(st.integers(0, old - 1))] = b"other"
    forged = merkle.consistency_path(old, size, nodes(changed))
    assert not merkle.is_consistent(old, old_root, size, mth(changed), forged)


def mutilated(made: list[bytes]) -> list[list[bytes]]:
    """One hash too many, too few, or changed."""
    changed = [[*made[:at], b"\xff" * 32, *made[at + 1 :]] for at in range(len(made))]
    shorter = [made[:at] + made[at + 1 :] for at in range(len(made))]
    return [*changed, *shorter, [*made, EMPTY_ROOT], [EMPTY_ROOT, *made]]


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0)])
def test_there_is_no_path_to_a_leaf_that_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="has no leaf"):
        merkle.inclusion_path(index, size, nodes(numbered(3)))
    assert merkle.root_from_inclusion(index, size, EMPTY_ROOT, []) is None


def test_a_larger_tree_was_never_a_smaller_one() -> None:
    with pytest.raises(ValueError, match="was never one over"):
        merkle.consistency_path(4, 3, nodes(numbered(3)))
