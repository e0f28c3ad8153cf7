"""Tables of fixed-width entries, and the stream versions kept in one, against plain dicts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.packed import KEY_BYTES, PackedTable, key_of
from eventlog.versions import StreamVersions

keys = st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES)
entries = st.dictionaries(keys, st.binary(min_size=3, max_size=3), max_size=20)
versions = st.dictionaries(st.text(max_size=5), st.integers(1, 2**40), max_size=20)


@given(entries, entries, keys)
def test_a_table_is_a_dict_in_sorted_order(
    old: dict[bytes, bytes], new: dict[bytes, bytes], other: bytes
) -> None:
    table = PackedTable(3).with_entries(old).with_entries(new)
    assert list(table) == sorted((old | new).items())
    assert len(table) == len(old | new)
    for key in (*old, *new, other):
        assert table.get(key) == (old | new).get(key)


def test_bytes_that_are_no_table_are_refused() -> None:
    with pytest.raises(ValueError, match="no table"):
        PackedTable(3, bytes(KEY_BYTES))


@given(st.lists(st.text(max_size=3)), st.lists(st.text(max_size=3)))
def test_only_equal_words_have_equal_keys(one: list[str], other: list[str]) -> None:
    assert (key_of(*one) == key_of(*other)) == (one == other)


@given(versions, versions, st.text(max_size=5))
def test_versions_are_the_same_at_rest_and_in_use(
    old: dict[str, int], new: dict[str, int], other: str
) -> None:
    kept = StreamVersions(old)
    kept.settle(above=0)
    kept.update(new)
    for stream in (*old, *new, other):
        assert kept[stream] == kept.get(stream) == (old | new).get(stream, 0)
    assert kept.packed() == StreamVersions(old | new).packed()
    again = StreamVersions(packed=kept.packed())
    assert again.agrees_with(kept, besides="another")
    assert kept.agrees_with(again, besides="another")
