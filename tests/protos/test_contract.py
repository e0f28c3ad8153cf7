"""The contract: what is generated is current, every element explains itself, nothing leaks in."""

import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from chronovisor_api import MalformedTarget, cocos, connect, v1
from chronovisor_api._generated import manager as generated_cocos
from chronovisor_api._generated.chronovisor import v1 as generated

ROOT = Path(__file__).parents[2]
PROTOS = [
    *sorted((ROOT / "protos" / "chronovisor").rglob("*.proto")),
    ROOT / "protos" / "cocos" / "manager.proto",
]
ELEMENT = re.compile(r"(message|enum|service|rpc|oneof) \w+|([\w.<>, ]+ )?\w+ = \d+;")
NO_ELEMENT = re.compile(r"(syntax|package|import|option|reserved)\b")


def test_generated_code_is_what_the_protos_say() -> None:
    check = [sys.executable, str(ROOT / "tools" / "gen_protos"), "--check"]
    done = subprocess.run(check, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_drift_is_noticed(tmp_path: Path) -> None:
    # What other processes import meanwhile leaves files there that vanish while they are copied.
    passing = shutil.ignore_patterns("__pycache__")
    for name in ("protos", "tools"):
        shutil.copytree(ROOT / name, tmp_path / name, symlinks=True, ignore=passing)
    shutil.copy2(ROOT / "pyproject.toml", tmp_path)
    proto = tmp_path / "protos" / "chronovisor" / "v1" / "events.proto"
    proto.write_text(proto.read_text() + "\n// One more.\nmessage More {}\n")
    check = [sys.executable, str(tmp_path / "tools" / "gen_protos"), "--check"]
    done = subprocess.run(check, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "chronovisor/v1/__init__.py" in done.stderr


@pytest.mark.parametrize("proto", PROTOS, ids=lambda path: path.stem)
def test_every_element_of_the_contract_has_a_comment(proto: Path) -> None:
    lines = [line.strip() for line in proto.read_text().splitlines()]
    elements = [
        (before, line)
        for before, line in pairwise(lines)
        if ELEMENT.match(line) and not NO_ELEMENT.match(line)
    ]
    assert len(elements) > 10
    assert [line for before, line in elements if not before.startswith("//")] == []


def test_every_generated_name_is_exported() -> None:
    assert sorted(v1.__all__) == sorted(generated.__all__)
    assert sorted(cocos.__all__) == sorted(["Empty", *generated_cocos.__all__])


def test_clients_import_nothing_of_the_daemon() -> None:
    script = (
        "import sys, chronovisor_api\n"
        "print([name for name in sys.modules if name.split('.')[0] in {'supervisor', 'eventlog',"
        " 'trio', 'trio_asyncio'}])"
    )
    command = [
        sys.executable,
        "-c",
        f"import sys; sys.path.insert(0, {str(ROOT / 'protos')!r})\n{script}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd="/")
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("", "neither unix:PATH nor HOST:PORT"),
        ("localhost", "neither"),
        ("localhost:", "neither"),
        ("localhost:0", "neither"),
        ("localhost:65536", "neither"),
        ("::1:7001", "neither"),
        ("http://localhost:7001", "neither"),
        ("unix:", "not followed by the path"),
        ("unix:/" + "x" * 107, "has 108 bytes, but the system takes at most 107"),
    ],
)
def test_a_target_that_cannot_be_used_is_named(target: str, says: str) -> None:
    with pytest.raises(MalformedTarget, match=re.escape(says)):
        connect(target)
