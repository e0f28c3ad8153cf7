"""The wheel, installed where nothing of the repository is, does a whole computation."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.source_tree import ROOT

HANG_S = 240
OFFLINE = re.compile(
    "NewConnectionError|ConnectTimeout|ReadTimeout|ProxyError|NameResolutionError"
    "|Temporary failure in name resolution|Name or service not known|Connection aborted"
)
WANTED = {
    "chronovisor_api/_generated/descriptors.binpb",
    "chronovisor_guest/init",
    "chronovisor_api/py.typed",
    "eventlog/py.typed",
    "supervisor/py.typed",
}
PACKAGES = {"chronovisor_api", "chronovisor_guest", "eventlog", "supervisor"}
pytestmark = pytest.mark.timeout(3 * HANG_S)  # pip fetches everything, and installs it
FREE = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--ws", "127.0.0.1:0")


def pip(*arguments: str | Path) -> None:
    quiet = ("--quiet", "--disable-pip-version-check", "--no-input")
    done = subprocess.run(
        [sys.executable, "-m", "pip", *map(str, arguments), *quiet],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    if done.returncode and OFFLINE.search(done.stderr):
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--wheel-dir", directory, ROOT)
    (made,) = directory.glob("*.whl")
    return made


class Place:
    """A directory that knows nothing of the repository, with the wheel installed in it."""

    def __init__(self, directory: Path, catalogue: Path) -> None:
        self.directory = directory
        self.python = directory / "venv" / "bin" / "python"
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "CHRONOVISOR_STATE_DIR": str(directory / "state"),
            "CHRONOVISOR_CATALOGUE": str(catalogue),
        }

    def command(self, *arguments: str | Path) -> list[str]:
        return [str(self.python.parent / "chronovisor"), *map(str, arguments)]

    def run(self, *command: str | Path) -> str:
        done = subprocess.run(
            list(map(str, command)),
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=HANG_S,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture
def place(wheel: Path, guest_dir: Path) -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="cv-") as made:
        place = Place(Path(made), guest_dir)
        venv = ("-m", "venv", "--without-pip", place.python.parent.parent)
        place.run(sys.executable, *venv)
        constraints = ROOT / "constraints.txt"
        pip("--python", place.python, "install", "--no-compile", "-c", constraints, wheel)
        shutil.copytree(ROOT / "examples" / "iris", place.directory / "iris")
        yield place


def test_a_wheel_has_what_is_run_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert names >= WANTED
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == PACKAGES


def described_at(port: int, place: Place) -> dict[str, str]:
    token = (place.directory / "state" / "token").read_text().strip()
    request = Request(
        f"http://127.0.0.1:{port}/openapi.json", headers={"Authorization": f"Bearer {token}"}
    )
    with urlopen(request, timeout=HANG_S) as answer:
        described: dict[str, str] = json.load(answer)
    return described


@pytest.mark.guest
def test_what_is_installed_examines_the_host_serves_and_computes(place: Place) -> None:
    found = json.loads(place.run(*place.command("doctor", "--json", *FREE)))
    assert found["faults"] == 0
    assert str(ROOT) not in place.run(place.python, "-c", "import supervisor; print(supervisor)")

    serving = place.command("serve", "--json", "--stop-vms", *FREE)
    with subprocess.Popen(
        serving,
        cwd=place.directory,
        env=place.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as daemon:
        try:
            assert daemon.stdout is not None
            http = json.loads(daemon.stdout.readline())["http"]
            assert described_at(http["port"], place)["openapi"].startswith("3.")
            submit = ("submit", "iris/iris.toml", "--vm-id", "iris", "--wait", "--json")
            ended = json.loads(place.run(*place.command(*submit)))
            assert (ended["phase"], ended["outcome"]) == ("stopped", "completed")
            place.run(*place.command("result", "iris", "-o", "iris.tar"))
            place.run(place.python, "iris/check.py", "iris.tar")
        finally:
            daemon.terminate()
            daemon.wait(HANG_S)
    assert "intact" in place.run(*place.command("log", "verify"))
