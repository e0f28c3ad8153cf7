"""The initramfs writer against a reader of its own, written from the kernel's description."""

import random
import stat

import pytest
from chronovisor_guest import cpio
from hypothesis import given
from hypothesis import strategies as st

_HEADER = 110
_names = st.from_regex(r"[a-z]{1,3}(/[a-z]{1,3}){0,2}", fullmatch=True)


def _read(data: bytes) -> dict[str, tuple[int, bytes]]:
    members: dict[str, tuple[int, bytes]] = {}
    position = 0
    while True:
        header = data[position : position + _HEADER]
        assert header[:6] == b"070701"
        fields = [int(header[6 + 8 * n : 14 + 8 * n], 16) for n in range(13)]
        mode, size, name_size = fields[1], fields[6], fields[11]
        assert fields[2] == fields[3] == fields[5] == 0
        name = data[position + _HEADER : position + _HEADER + name_size]
        assert name.endswith(b"\0")
        position += _HEADER + name_size
        position += -position % 4
        content = data[position : position + size]
        position += size
        position += -position % 4
        if name == b"TRAILER!!!\0":
            assert position == len(data)
            return members
        members[name[:-1].decode()] = (mode, content)


def _files(contents: dict[str, bytes]) -> list[cpio.Member]:
    """Files by name, where no name is also the directory of another."""
    parents = {name.rsplit("/", n)[0] for name in contents for n in (1, 2) if "/" in name}
    return [cpio.file(name, data) for name, data in contents.items() if name not in parents]


@given(st.dictionaries(_names, st.binary(max_size=9), max_size=6))
def test_a_reader_finds_every_file_and_its_directories_before_it(
    contents: dict[str, bytes],
) -> None:
    files = _files(contents)
    read = _read(b"".join(cpio.archive(files)))
    assert {n: c for n, (m, c) in read.items() if stat.S_ISREG(m)} == {
        f.path: f.data for f in files
    }
    seen: set[str] = set()
    for name in read:
        assert "/" not in name or name.rsplit("/", 1)[0] in seen
        seen.add(name)


@given(st.dictionaries(_names, st.binary(max_size=9), max_size=6), st.randoms())
def test_the_order_of_members_does_not_change_the_bytes(
    contents: dict[str, bytes], order: random.Random
) -> None:
    files = _files(contents)
    shuffled = list(files)
    order.shuffle(shuffled)
    assert b"".join(cpio.archive(files)) == b"".join(cpio.archive(shuffled))


@given(st.dictionaries(_names, st.binary(max_size=9), max_size=6))
def test_a_further_archive_may_follow_at_a_multiple_of_four(contents: dict[str, bytes]) -> None:
    assert len(b"".join(cpio.archive(_files(contents)))) % 4 == 0


def test_links_and_modes_are_kept() -> None:
    members = [cpio.symlink("bin/sh", "busybox"), cpio.file("init", b"x", executable=True)]
    read = _read(b"".join(cpio.archive(members)))
    assert read["bin/sh"] == (stat.S_IFLNK | 0o777, b"busybox")
    assert read["init"] == (stat.S_IFREG | 0o755, b"x")
    assert read["bin"] == (stat.S_IFDIR | 0o755, b"")


def test_two_members_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="init"):
        list(cpio.archive([cpio.file("init", b"1"), cpio.file("init", b"2")]))
