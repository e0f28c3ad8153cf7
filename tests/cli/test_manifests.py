"""`manifest check`: the whole judgement, without a daemon."""

import json
from pathlib import Path

from tests.cli.conftest import Run


def test_a_right_manifest_is_summed_up(run: Run, iris: Path) -> None:
    result = run("manifest", "check", str(iris))

    assert result.exit_code == 0
    assert "reference-base reference-python" in result.stdout
    assert "q35, auto, 1 CPU, 256M of memory" in result.stdout


def test_json_has_the_normalised_manifest_and_the_files(run: Run, iris: Path) -> None:
    answer = json.loads(run("manifest", "check", str(iris), "--json").stdout)

    assert answer["manifest"]["vm"]["memory_bytes"] == 256 << 20
    assert answer["manifest"]["labels"] == {"team": "blue"}
    assert [file["field"] for file in answer["uploads"]] == ["algorithm", "datasets[0]"]
    assert answer["uploads"][1]["size"] == 4


def test_a_wrong_manifest_exits_2_with_a_line_for_each_fault(run: Run, iris: Path) -> None:
    iris.write_text(iris.read_text() + 'nmae = "x"\nvm = {cpus = "two"}\n')
    result = run("manifest", "check", str(iris))

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines() == [
        f'Error: {iris}: nmae: unknown field; did you mean "name"?',
        f'{iris}: vm.cpus: got "two"; it takes a whole number',
    ]


def test_a_manifest_that_is_not_there_exits_2(run: Run) -> None:
    result = run("manifest", "check", "/absent.toml")

    assert result.exit_code == 2
    assert result.stderr == "Error: /absent.toml: no such file or directory\n"
