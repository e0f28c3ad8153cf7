"""The guide and the examples hold what they say."""

import re
from pathlib import Path

import pytest

from supervisor.manifest import ManifestInvalid, load
from supervisor.manifest.schema import (
    AgentSection,
    ConfidentialSection,
    DatasetEntry,
    Draft,
    ForwardEntry,
    LimitsSection,
    NetworkSection,
    RestartSection,
    VmSection,
)

REPOSITORY = Path(__file__).parents[2]
SECTIONS = {
    "vm": VmSection,
    "limits": LimitsSection,
    "restart": RestartSection,
    "network": NetworkSection,
    "confidential": ConfidentialSection,
    "agent": AgentSection,
}
GUIDE = (REPOSITORY / "docs" / "manifest.md").read_text()


@pytest.mark.parametrize("text", re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL))
def test_a_manifest_of_the_guide_is_well_formed(tmp_path: Path, text: str) -> None:
    file = tmp_path / "m.toml"
    file.write_text(text)

    assert isinstance(load(file), Draft)


def test_the_complaints_in_the_guide_are_the_real_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("iris.toml").write_text(
        'nmae = "iris"\nalgorithm = {path = "iris.py"}\nvm = {memory = "lots"}\n'
    )
    with pytest.raises(ManifestInvalid) as caught:
        load(Path("iris.toml"))

    assert f"Error: {caught.value}\n" in GUIDE


def test_every_field_is_in_the_guide() -> None:
    fields = [
        *(f"`{name}`" for name in Draft.__struct_fields__ if name not in SECTIONS),
        *(f"`{name}.{field}`" for name in SECTIONS for field in SECTIONS[name].__struct_fields__),
        *(f"`{name}`" for name in DatasetEntry.__struct_fields__),
        *(f"`{name}`" for name in ForwardEntry.__struct_fields__),
    ]
    assert [field for field in fields if field not in GUIDE] == []


@pytest.mark.parametrize("file", sorted((REPOSITORY / "examples").glob("*/*.toml")), ids=str)
def test_an_example_is_well_formed(file: Path) -> None:
    assert load(file).name
