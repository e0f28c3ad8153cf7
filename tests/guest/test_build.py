"""Building the guest: once, the same bytes again, and only what is intact counts."""

import json
import os
from pathlib import Path

import pytest
from chronovisor_guest import Catalogue, GuestError, Layer, Progress, build, catalogue

pytestmark = pytest.mark.guest


@pytest.fixture
def second(guest_dir: Path, tmp_path: Path) -> Path:
    """An empty place that shares the downloads."""
    (tmp_path / "packages").symlink_to(guest_dir.absolute() / "packages")
    return tmp_path


def _digests(built: Catalogue) -> dict[str, str]:
    return {name: entry.sha256 for name, entry in built.entries.items()}


def test_the_same_packages_give_the_same_bytes_elsewhere(guest_dir: Path, second: Path) -> None:
    previous = os.umask(0o077)
    try:
        built = build(second)
    finally:
        os.umask(previous)
    assert set(built.entries) == {"reference-kernel", "reference-base", "reference-python"}
    assert _digests(built) == _digests(build(guest_dir))
    assert [path.name for path in second.iterdir() if path.name.startswith(".")] == []


def test_a_build_that_is_up_to_date_does_nothing(guest_dir: Path) -> None:
    reports: list[Progress] = []
    assert build(guest_dir, report=reports.append) == catalogue.read(guest_dir)
    assert reports == []


def test_a_damaged_file_is_built_anew(second: Path) -> None:
    built = build(second, wanted=[Layer.BASE])
    (second / "base.cpio").write_bytes(b"damaged")
    reports: list[Progress] = []
    assert build(second, wanted=[Layer.BASE], report=reports.append) == built
    assert built.is_intact(second)
    assert reports[-1].done == reports[-1].total


def test_a_catalogue_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / catalogue.FILE_NAME
    for text in ("{", json.dumps({"format": 99}), json.dumps({"format": 1, "entries": 3})):
        path.write_text(text)
        with pytest.raises(GuestError, match=str(path)):
            catalogue.read(tmp_path)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GuestError, match="file/guest"):
        build(tmp_path / "file" / "guest")


def test_every_guest_has_a_base(tmp_path: Path) -> None:
    with pytest.raises(GuestError, match="base"):
        build(tmp_path, wanted=[Layer.PYTHON])
