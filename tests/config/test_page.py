"""`docs/configuration.md` is what the code says, and its examples hold."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from supervisor.config import cocos
from supervisor.config.loading import load_file
from supervisor.config.settings import SETTINGS
from supervisor.vm.spec import Manifest
from tests.source_tree import ROOT

TOOL = ROOT / "tools" / "settings_table"
PAGE = (ROOT / "docs" / "configuration.md").read_text()


def test_the_tables_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, TOOL, "--check"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("text", re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL))
def test_a_file_of_the_page_is_right(tmp_path: Path, text: str) -> None:
    file = tmp_path / "chronovisor.toml"
    file.write_text(text)
    assert load_file(file, {"HOME": str(tmp_path)}, 1000).config.capacity.max_running == 32


def test_every_setting_stands_on_the_page_once() -> None:
    for setting in SETTINGS:
        assert PAGE.count(f"| `{setting.key}` | `{setting.variable}` |") == 1


def test_the_place_of_a_manifest_that_is_named_is_there() -> None:
    named = {
        place
        for told in cocos.WITHOUT_EFFECT.values()
        for place in re.findall(r"manifest says (\w+\.\w+)", told)
    }
    sections = {place.split(".")[0] for place in named}
    assert sections <= set(Manifest.__struct_fields__) | {"network", "confidential"}
