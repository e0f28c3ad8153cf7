"""Manifest files, good and bad: every complaint is an exact sentence."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.manifest import Draft, ManifestInvalid, load
from supervisor.manifest.reading import FILE_BYTES_MAX
from supervisor.manifest.schema import ImageEntry
from supervisor.vm.spec import Accelerator, Limits, Machine, VmShape
from supervisor.written.examine import build, examine

DIGEST = "ab" * 32
MINIMAL = 'name = "n"\nalgorithm = {path = "a.py"}\n'
FULL = f"""
name = "iris"
description = "Fisher's irises"

[labels]
team = "blue"

[algorithm]
path = "iris.py"
sha256 = "{DIGEST}"
provider = "Alice"
arguments = ["--fast", ""]

[[datasets]]
name = "iris.csv"
path = "iris.csv"
provider = "Bob"

[[datasets]]
name = "more.csv"
sha256 = "{DIGEST}"

[vm]
cpus = 2
memory = "1.5G"
machine = "pc"
accel = "tcg"
kernel = {{path = "vmlinuz"}}
initrd = ["reference-base", {{name = "reference-python"}}, {{sha256 = "{DIGEST}"}}]
firmware = {{path = "bios.bin", sha256 = "{DIGEST}"}}
command_line = "loglevel=7"

[limits]
ttl = "1h30m"
launch_deadline = "90 s"
stop_grace = "500ms"
result_size = "512 KiB"
log_size = 65536
"""


def written(directory: Path, text: str, name: str = "m.toml") -> Path:
    file = directory / name
    file.write_text(text)
    return file


def complaints(directory: Path, text: str, name: str = "m.toml") -> list[str]:
    with pytest.raises(ManifestInvalid) as caught:
        load(written(directory, text, name))
    return str(caught.value).replace(f"{directory}/", "").splitlines()


def test_a_minimal_manifest_takes_the_defaults_of_the_core(tmp_path: Path) -> None:
    draft = load(written(tmp_path, MINIMAL))

    shape, limits = VmShape(), Limits()
    assert (draft.vm.cpus, draft.vm.memory) == (shape.cpus, shape.memory_bytes)
    assert (draft.limits.ttl, draft.limits.log_size) == (limits.ttl_ms, limits.log_bytes)
    assert draft.vm.initrd is None


def test_every_field_is_read(tmp_path: Path) -> None:
    draft = load(written(tmp_path, FULL))

    assert draft.labels == {"team": "blue"}
    assert draft.algorithm.arguments == ("--fast", "")
    assert [dataset.provider for dataset in draft.datasets] == ["Bob", ""]
    assert (draft.vm.machine, draft.vm.accel) == (Machine.PC, Accelerator.TCG)
    assert draft.vm.memory == 1536 << 20
    assert draft.vm.kernel == ImageEntry(path="vmlinuz")
    assert draft.vm.initrd == (
        "reference-base",
        ImageEntry(name="reference-python"),
        ImageEntry(sha256=DIGEST),
    )
    assert draft.limits.ttl == 5_400_000
    assert draft.limits.result_size == 512 << 10


def test_json_says_the_same_as_toml(tmp_path: Path) -> None:
    tree = {"name": "n", "algorithm": {"path": "a.py"}, "vm": {"memory": "1G"}}
    from_json = load(written(tmp_path, json.dumps(tree), "m.json"))
    without_suffix = load(written(tmp_path, json.dumps(tree), "manifest"))
    from_toml = load(written(tmp_path, MINIMAL + '[vm]\nmemory = "1G"\n'))

    assert from_json == without_suffix == from_toml


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('nmae = "x"\n' + MINIMAL, 'nmae: unknown field; did you mean "name"?'),
        (
            'zzz = "x"\n' + MINIMAL,
            f"zzz: unknown field; takes {', '.join(Draft.__struct_fields__)}",
        ),
        (MINIMAL + "[vm]\nmemroy = 1", 'vm.memroy: unknown field; did you mean "memory"?'),
        ('algorithm = {path = "a"}', "name: missing; it takes text"),
        (
            'name = "n"',
            "algorithm: missing; it takes a table of path, sha256, provider, arguments, "
            "encryption, id",
        ),
        ('name = 5\nalgorithm = {path = "a"}', "name: got 5; it takes text"),
        (
            'name = "n"\nalgorithm = "a.py"',
            'algorithm: got "a.py"; it takes a table of path, sha256, provider, arguments, '
            "encryption, id",
        ),
        (
            'name = "n"\nalgorithm = {arguments = ["p"]}',
            "algorithm: takes a path, a sha256, or both (the file must match), or a provider who "
            "brings the file later",
        ),
        (
            MINIMAL + '[agent]\nkind = "guest"',
            'agent.kind: got "guest"; it takes "reference", "own"',
        ),
        (
            MINIMAL + '[agent]\nkind = "reference"\nport = 7002',
            'agent.port: goes with kind "own": the reference agent is found and heard by itself',
        ),
        (
            MINIMAL + '[agent]\nkind = "own"\nready = "soon"',
            'agent.ready: got "soon"; it takes "port", or a table such as {console = "*login:*"}',
        ),
        (
            MINIMAL + '[agent]\nkind = "own"\nready = {console = 5}',
            "agent.ready.console: got 5; it takes text",
        ),
        (
            'name = "n"\nalgorithm = {path = ""}',
            'algorithm.path: got ""; it takes a path, relative to the manifest file',
        ),
        (
            'name = "n"\nalgorithm = {sha256 = "ABC"}',
            'algorithm.sha256: got "ABC"; it takes 64 lower-case hexadecimal digits (SHA-256)',
        ),
        (
            'name = "n"\nalgorithm = {path = "a", arguments = ["x", 7]}',
            "algorithm.arguments[1]: got 7; it takes text",
        ),
        (MINIMAL + "datasets = 3", "datasets: got 3; it takes a list"),
        (MINIMAL + '[[datasets]]\npath = "x"', "datasets[0].name: missing; it takes text"),
        (
            MINIMAL + '[[datasets]]\nname = "x"',
            "datasets[0]: takes a path, a sha256, or both (the file must match), or a provider who "
            "brings the file later",
        ),
        (MINIMAL + "[labels]\nteam = 3", "labels.team: got 3; it takes text"),
        (MINIMAL + "labels = 3", "labels: got 3; it takes a table of texts"),
        (MINIMAL + '[vm]\ncpus = "two"', 'vm.cpus: got "two"; it takes a whole number'),
        (MINIMAL + "[vm]\ncpus = true", "vm.cpus: got true; it takes a whole number"),
        (MINIMAL + "[vm]\ncpus = 1.5", "vm.cpus: got 1.5; it takes a whole number"),
        (
            MINIMAL + '[vm]\nmachine = "q53"',
            'vm.machine: got "q53"; it takes "q35", "pc"; did you mean "q35"?',
        ),
        (MINIMAL + "[vm]\naccel = 1", 'vm.accel: got 1; it takes "auto", "tcg", "kvm"'),
        (
            MINIMAL + '[vm]\nmemory = "lots"',
            'vm.memory: got "lots"; it takes a size such as "256M", "1.5G", "512 KiB" '
            "or a number of bytes (K = 1024 bytes)",
        ),
        (
            MINIMAL + "[vm]\nmemory = true",
            'vm.memory: got true; it takes a size such as "256M", "1.5G", "512 KiB" '
            "or a number of bytes (K = 1024 bytes)",
        ),
        (
            MINIMAL + '[vm]\nmemory = "0.3K"',
            'vm.memory: got "0.3K"; it takes a size such as "256M", "1.5G", "512 KiB" '
            "or a number of bytes (K = 1024 bytes); it is not a whole number of bytes",
        ),
        (
            MINIMAL + "[limits]\nttl = 10",
            'limits.ttl: got 10; it takes a duration such as "500ms", "2 s", "10m", "1h30m" '
            'or "2d"',
        ),
        (
            MINIMAL + '[vm]\nkernel = {path = "x", name = "y"}',
            "vm.kernel: takes either a name of the catalogue, or path or sha256",
        ),
        (
            MINIMAL + "[vm]\ninitrd = [{}]",
            "vm.initrd[0]: takes either a name of the catalogue, or path or sha256",
        ),
        (
            MINIMAL + "[vm]\nkernel = 5",
            'vm.kernel: got 5; it takes a catalogue name, or a table such as {path = "vmlinuz"}',
        ),
        (
            MINIMAL + '[vm]\nkernel = {pth = "x"}',
            'vm.kernel.pth: unknown field; did you mean "path"?',
        ),
        (
            MINIMAL + '[limits]\nttl = "30m1h"',
            'limits.ttl: got "30m1h"; it takes a duration such as "500ms", "2 s", "10m", "1h30m" '
            'or "2d"; it is not in the order of its units, from large to small',
        ),
    ],
)
def test_a_wrong_field_is_named_with_what_it_got_and_what_it_takes(
    tmp_path: Path, text: str, complaint: str
) -> None:
    assert complaints(tmp_path, text) == [f"m.toml: {complaint}"]


def test_all_wrong_fields_are_told_at_once(tmp_path: Path) -> None:
    text = MINIMAL + 'x = 1\n[vm]\ncpus = "two"\nmachine = "arm"\n'

    assert [line.split(": ")[1] for line in complaints(tmp_path, text)] == [
        "x",
        "vm.cpus",
        "vm.machine",
    ]


@pytest.mark.parametrize("text", [MINIMAL + 'name = "again"', "name = ", "= 1", "[vm", "a.b=" * 9])
def test_bad_toml_is_told_as_such(tmp_path: Path, text: str) -> None:
    (line,) = complaints(tmp_path, text)
    assert line.startswith("m.toml: not TOML: ")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "not JSON: Expecting property name enclosed in double quotes"),
        ('{"name": "a", "name": "b"}', 'not JSON: "name" is given twice'),
        ("[]", "a manifest is one table of fields"),
        ("[" * 100_000, "not JSON: nested too deeply"),
    ],
)
def test_bad_json_is_told_as_such(tmp_path: Path, text: str, complaint: str) -> None:
    (line,) = complaints(tmp_path, text, "m.json")
    assert line.startswith(f"m.json: {complaint}")


def test_a_wrong_value_is_shown_on_one_line_and_cut(tmp_path: Path) -> None:
    tree = {"name": "n", "algorithm": {"path": "a"}, "vm": {"cpus": "\x1b[31m\u202e" + "x" * 999}}
    (line,) = complaints(tmp_path, json.dumps(tree), "m.json")

    assert line.isprintable()
    assert len(line) < 120


def test_a_file_that_cannot_be_read_is_told_by_name(tmp_path: Path) -> None:
    for name, make, complaint in (
        ("absent.toml", lambda _: None, "no such file or directory"),
        ("folder.toml", Path.mkdir, "is a directory"),
        ("binary.toml", lambda file: file.write_bytes(b"name = \xff"), "not UTF-8 text (byte 7)"),
        (
            "huge.toml",
            lambda file: file.write_bytes(b"#" * (FILE_BYTES_MAX + 1)),
            "larger than 1048576 bytes, which no manifest is",
        ),
    ):
        make(tmp_path / name)
        with pytest.raises(ManifestInvalid) as caught:
            load(tmp_path / name)
        assert str(caught.value) == f"{tmp_path / name}: {complaint}"


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "n", "256M", "10m", "q35", "tcg", DIGEST, "reference-base"])
)
FIELDS = """
name algorithm description labels datasets vm limits path sha256 provider arguments cpus memory
machine accel kernel initrd firmware command_line ttl stop_grace bogus
"""
field_names = st.sampled_from(FIELDS.split())
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(field_names, inner, max_size=5),
    max_leaves=12,
)
valid_sections = st.fixed_dictionaries(
    {"name": st.just("n"), "algorithm": st.just({"path": "a"})},
    optional={
        "vm": st.dictionaries(field_names, trees, max_size=3),
        "limits": st.dictionaries(field_names, trees, max_size=3),
        "datasets": trees,
        "labels": trees,
    },
)


@given(trees | valid_sections)
def test_what_the_examination_passes_can_be_built(tree: object) -> None:
    if not examine(tree, Draft):
        assert isinstance(build(tree, Draft), Draft)
