"""The operator's catalogue: names to files, with errors that say what to do."""

import json
import os
import time
from pathlib import Path

import pytest

from supervisor.artifacts.catalogue import Catalogue
from supervisor.artifacts.digest_cache import SETTLED_NS
from supervisor.artifacts.errors import DamagedCatalogue, UnknownImage

ENTRY = {"file": "vmlinuz", "sha256": "a" * 64, "size": 7, "kind": "kernel"}


def write(directory: Path, content: object) -> Catalogue:
    (directory / "catalogue.json").write_text(json.dumps(content))
    return Catalogue(directory)


def test_a_name_is_a_file_beside_the_catalogue(tmp_path: Path) -> None:
    image = write(tmp_path, {"format": 1, "entries": {"reference-kernel": ENTRY}}).look_up(
        "reference-kernel"
    )
    assert image.path == tmp_path / "vmlinuz"
    assert (image.sha256, image.size, image.kind) == ("a" * 64, 7, "kernel")


def test_a_catalogue_that_changes_is_read_anew(tmp_path: Path) -> None:
    catalogue = write(tmp_path, {"format": 1, "entries": {}})
    with pytest.raises(UnknownImage):
        catalogue.look_up("mine")
    write(tmp_path, {"format": 1, "entries": {"mine": ENTRY}})
    assert catalogue.look_up("mine").name == "mine"


def test_one_that_was_kept_is_read_anew_once_it_changes_or_is_replaced(tmp_path: Path) -> None:
    write(tmp_path, {"format": 1, "entries": {"mine": ENTRY}})
    kept = Catalogue(tmp_path, now_ns=lambda: time.time_ns() + 2 * SETTLED_NS)
    assert kept.names() == kept.names() == ("mine",)
    write(tmp_path, {"format": 1, "entries": {"yours": ENTRY}})
    assert kept.names() == ("yours",)
    write(tmp_path, {"format": 1, "entries": {"theirs": ENTRY}})
    (tmp_path / "catalogue.json").rename(tmp_path / "new")
    assert kept.names() == ()
    (tmp_path / "new").rename(tmp_path / "catalogue.json")
    assert kept.names() == ("theirs",)


@pytest.mark.parametrize("exists", [True, False], ids=["without the name", "without a catalogue"])
def test_an_unknown_name_says_what_makes_the_reference_ones(
    tmp_path: Path,
    exists: bool,  # noqa: FBT001
) -> None:
    catalogue = write(tmp_path, {"format": 1, "entries": {}}) if exists else Catalogue(tmp_path)
    with pytest.raises(UnknownImage, match=r"'reference-base'.*chronovisor guest build"):
        catalogue.look_up("reference-base")


@pytest.mark.parametrize(
    "content",
    [
        "not a catalogue",
        {"format": 2, "entries": {}},
        {"format": 1},
        {"format": 1, "entries": {"mine": {"file": "vmlinuz"}}},
        {"format": 1, "entries": {"mine": {**ENTRY, "file": "../../etc/shadow"}}},
        {"format": 1, "entries": {"mine": {**ENTRY, "file": "/etc/shadow"}}},
        {"format": 1, "entries": {"mine": {**ENTRY, "file": ""}}},
        {"format": 1, "entries": {"mine": {**ENTRY, "file": ".."}}},
    ],
)
def test_a_damaged_catalogue_is_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(DamagedCatalogue, match=r"catalogue\.json"):
        write(tmp_path, content).look_up("mine")


def test_a_fifo_in_the_place_of_a_catalogue_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "catalogue.json")
    with pytest.raises(DamagedCatalogue, match="it is not a regular file"):
        Catalogue(tmp_path).names()


def test_a_link_to_a_catalogue_is_followed(tmp_path: Path) -> None:
    write(tmp_path, {"format": 1, "entries": {"mine": ENTRY}})
    (tmp_path / "catalogue.json").rename(tmp_path / "real.json")
    (tmp_path / "catalogue.json").symlink_to("real.json")
    assert Catalogue(tmp_path).names() == ("mine",)
