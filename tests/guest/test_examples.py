"""The examples give the known answers: here, and in the guest."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.guest.scripted_host import Job, booted

EXAMPLES = Path(__file__).parents[2] / "examples"
IRIS = EXAMPLES / "iris"
# R. A. Fisher's table as published with R: mean sepal lengths, and petal width on petal length.
SEPAL_LENGTHS = {"setosa": 5.006, "versicolor": 5.936, "virginica": 6.588}
SLOPE, INTERCEPT = 0.41576, -0.36308


def _job(name: str) -> Job:
    """The inputs that a manifest describes."""
    directory = EXAMPLES / name
    manifest = tomllib.loads((directory / f"{name}.toml").read_text())
    algorithm = manifest["algorithm"]
    paths = {entry["name"]: directory / entry["path"] for entry in manifest.get("datasets", [])}
    layers = [layer["name"] for layer in manifest.get("vm", {}).get("initrd", [])]
    return Job(
        (directory / algorithm["path"]).read_bytes(),
        [argument.encode() for argument in algorithm["arguments"]],
        {name: path.read_bytes() for name, path in paths.items()},
        python="reference-python" in layers,
    )


def test_what_is_expected_of_iris_is_what_is_published() -> None:
    expected = json.loads((IRIS / "expected.json").read_text())
    means = {species: mean["sepal_length"] for species, mean in expected["means"].items()}
    assert means == SEPAL_LENGTHS
    assert (expected["line"]["slope"], expected["line"]["intercept"]) == (SLOPE, INTERCEPT)


def test_the_iris_table_has_the_values_of_the_paper() -> None:
    flowers = (IRIS / "iris.csv").read_text().splitlines()[1:]
    assert len(flowers) == 150
    assert flowers[34] == "4.9,3.1,1.5,0.2,setosa"
    assert flowers[37] == "4.9,3.6,1.4,0.1,setosa"


def test_iris_gives_what_is_expected_outside_of_a_guest(tmp_path: Path) -> None:
    progress = tmp_path / "progress"
    environment = {
        "CHRONOVISOR_DATASETS": str(IRIS),
        "CHRONOVISOR_RESULTS": str(tmp_path),
        "CHRONOVISOR_PROGRESS": str(progress),
    }
    argv = [sys.executable, str(IRIS / "iris.py"), "petal_length", "petal_width"]
    subprocess.run(argv, env=environment, check=True, capture_output=True)
    assert (tmp_path / "summary.json").read_text() == (IRIS / "expected.json").read_text()
    assert progress.read_text() == "1.0 done\n"


@pytest.mark.qemu
@pytest.mark.guest
async def test_iris_gives_what_is_expected_in_the_guest(guest_dir: Path) -> None:
    async with booted(guest_dir, _job("iris")) as guest:
        await guest.start()
        assert (await guest.finish())["exit_code"] == 0, guest.logged("stderr")
        result = guest.result()
        assert result["results/summary.json"] == (IRIS / "expected.json").read_bytes()
        assert result["results/report.txt"] == result["stdout"]
        # A log line may come after it: progress is told while the computation runs, too.
        progress = [m["fraction"] for m in guest.messages if m["type"] == "progress"]
        assert progress[-1] == 1.0


@pytest.mark.qemu
@pytest.mark.guest
async def test_hello_says_so_and_gives_the_same_bytes_again(guest_dir: Path) -> None:
    results = []
    for _ in range(2):
        async with booted(guest_dir, _job("hello")) as guest:
            await guest.start()
            await guest.finish()
            assert guest.logged("stdout") == ["Hello, world, from launch 7 of vm-1."]
            results.append((guest.directory / "results").read_bytes())
    assert results[0] == results[1]
