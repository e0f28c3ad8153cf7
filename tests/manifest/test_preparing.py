"""From a draft to what is sent: files are found, hashed and refused before anything is uploaded."""

import hashlib
import os
from pathlib import Path

import pytest

from supervisor.manifest import ManifestInvalid, Prepared, load, prepare
from supervisor.manifest.schema import CORE_NAMES, LimitsSection, RestartSection, VmSection
from supervisor.vm.guest_agent import ConsoleReady, OwnAgent
from supervisor.vm.inputs import InputName, awaited_inputs
from supervisor.vm.ranges import RANGES, Range
from supervisor.vm.spec import HOUR_MS, Algorithm, ByDigest, ByName, NetworkMode
from supervisor.written.quantities import parse_duration, parse_size

PYTHON = b"#!/usr/bin/env python3\nprint(1)\n"
SHELL = b"#!/bin/sh\necho python\n"
BASE, WITH_PYTHON = (
    (ByName("reference-base"),),
    (ByName("reference-base"), ByName("reference-python")),
)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def prepared(directory: Path, text: str) -> Prepared:
    file = directory / "m.toml"
    file.write_text(text)
    return prepare(load(file), file)


def complaints(directory: Path, text: str) -> list[str]:
    with pytest.raises(ManifestInvalid) as caught:
        prepared(directory, text)
    return str(caught.value).replace(f"{directory}/", "").splitlines()


def test_paths_count_from_the_manifest_and_become_digests(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.sh").write_bytes(SHELL)
    (tmp_path / "d.csv").write_bytes(b"1,2\n")
    (tmp_path / "kernel").write_bytes(b"bzImage")

    ready = prepared(
        tmp_path,
        'name = "n"\nalgorithm = {path = "code/a.sh", arguments = ["x"]}\n'
        'datasets = [{name = "d", path = "d.csv", provider = "Bob"}]\n'
        '[vm]\nkernel = {path = "kernel"}\ninitrd = ["base"]\n',
    )

    assert ready.manifest.algorithm.sha256 == sha256(SHELL)
    assert ready.manifest.datasets[0].sha256 == sha256(b"1,2\n")
    assert ready.manifest.datasets[0].provider == "Bob"
    assert ready.manifest.vm.kernel == ByDigest(sha256(b"bzImage"))
    assert ready.manifest.vm.initrd == (ByName("base"),)
    assert [(upload.field, upload.size) for upload in ready.uploads] == [
        ("algorithm", len(SHELL)),
        ("datasets[0]", 4),
        ("vm.kernel", 7),
    ]


def test_a_digest_alone_needs_no_file(tmp_path: Path) -> None:
    digest = sha256(b"elsewhere")
    ready = prepared(tmp_path, f'name = "n"\nalgorithm = {{sha256 = "{digest}"}}\n')

    assert ready.manifest.algorithm.sha256 == digest
    assert ready.uploads == ()


def test_inputs_of_others_and_consumers_are_named_without_a_file(tmp_path: Path) -> None:
    ready = prepared(
        tmp_path,
        'name = "n"\nalgorithm = {provider = "Alice"}\nresult_consumers = ["uid:1002"]\n'
        'datasets = [{name = "d", provider = "Bob", id = "iris"}]\n'
        '[limits]\ninputs_deadline = "2h"\n',
    )

    assert ready.uploads == ()
    assert awaited_inputs(ready.manifest) == (
        InputName("Alice", "algorithm"),
        InputName("Bob", "iris"),
    )
    assert ready.manifest.result_consumers == ("uid:1002",)
    assert ready.manifest.limits.inputs_deadline_ms == 2 * HOUR_MS


@pytest.mark.parametrize(
    ("agent", "read", "mode"),
    [
        ("", OwnAgent(), NetworkMode.RESTRICTED),
        ("port = 9000", OwnAgent(9000), NetworkMode.RESTRICTED),
        (
            'ready = {console = "*login:*"}',
            OwnAgent(None, ConsoleReady("*login:*")),
            NetworkMode.NONE,
        ),
        (
            'port = 7002\nready = {console = "up"}',
            OwnAgent(7002, ConsoleReady("up")),
            NetworkMode.RESTRICTED,
        ),
        ('ready = "port"\n[network]\nmode = "restricted"', OwnAgent(), NetworkMode.RESTRICTED),
    ],
)
def test_an_agent_of_the_guests_own_needs_no_algorithm_and_is_reached(
    tmp_path: Path, agent: str, read: OwnAgent, mode: NetworkMode
) -> None:
    manifest = prepared(tmp_path, f'name = "n"\n[agent]\nkind = "own"\n{agent}\n').manifest
    assert (manifest.agent, manifest.algorithm) == (read, Algorithm())
    assert manifest.network.mode is mode


def test_a_line_that_no_console_has_is_named_as_it_was_written(tmp_path: Path) -> None:
    text = 'name = "n"\n[agent]\nkind = "own"\nready = {console = ""}\n'
    assert complaints(tmp_path, text) == [
        "m.toml: agent.ready.console: got ''; it takes 1 to 256 characters without control "
        "characters"
    ]


def test_the_same_bytes_are_uploaded_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(SHELL)
    (tmp_path / "b").write_bytes(SHELL)
    ready = prepared(
        tmp_path,
        'name = "n"\nalgorithm = {path = "a"}\ndatasets = [{name = "d", path = "b"}]\n',
    )

    assert [upload.field for upload in ready.uploads] == ["algorithm"]
    assert ready.manifest.datasets[0].sha256 == ready.manifest.algorithm.sha256


@pytest.mark.parametrize(
    ("program", "layers"),
    [(PYTHON, WITH_PYTHON), (SHELL, BASE), (b"\x7fELF", BASE), (b"", BASE)],
)
def test_a_python_program_gets_the_python_layer(
    tmp_path: Path, program: bytes, layers: tuple[ByName, ...]
) -> None:
    (tmp_path / "a").write_bytes(program)
    ready = prepared(tmp_path, 'name = "n"\nalgorithm = {path = "a"}\n')

    assert ready.manifest.vm.initrd == layers


def test_layers_that_are_given_are_not_added_to(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(PYTHON)
    ready = prepared(
        tmp_path, 'name = "n"\nalgorithm = {path = "a"}\nvm = {initrd = ["reference-base"]}\n'
    )

    assert ready.manifest.vm.initrd == BASE


def test_every_file_that_cannot_be_used_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "d").write_bytes(b"data")
    text = (
        'name = "n"\nalgorithm = {path = "absent.py"}\n'
        'datasets = [{name = "1", path = "folder"}, {name = "2", path = "pipe"}, '
        f'{{name = "3", path = "d", sha256 = "{"0" * 64}"}}, {{name = "4", path = "d/x"}}]\n'
    )

    assert complaints(tmp_path, text) == [
        "m.toml: algorithm: absent.py: no such file",
        "m.toml: datasets[0]: folder is a directory, takes a file",
        "m.toml: datasets[1]: pipe is not a regular file, takes a file",
        f"m.toml: datasets[2]: d has the digest {sha256(b'data')}, not {'0' * 64}",
        "m.toml: datasets[3]: d/x: not a directory",
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(SHELL)
    (tmp_path / "a").chmod(0)

    assert complaints(tmp_path, 'name = "n"\nalgorithm = {path = "a"}\n') == [
        "m.toml: algorithm: a: permission denied"
    ]


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ('vm = {memory = "1"}', 'vm.memory: got "1"; it takes 64 MiB to 4 TiB'),
        ("vm = {memory = 7}", "vm.memory: got 7; it takes 64 MiB to 4 TiB"),
        ('vm = {memory = "10TB"}', 'vm.memory: got "10TB"; it takes 64 MiB to 4 TiB'),
        ('vm = {memory = "100.5 m"}', 'vm.memory: got "100.5 m"; it takes a multiple of 1 MiB'),
        ("vm = {cpus = 0}", "vm.cpus: got 0; it takes 1 to 64"),
        ("vm = {initrd = []}", "vm.initrd: got 0 entries"),
        ('vm = {kernel = "/etc/shadow"}', "vm.kernel.name: got '/etc/shadow'; it takes a name of"),
        ('limits = {ttl = "1ms"}', 'limits.ttl: got "1ms"; it takes 1 s to 30 d'),
        (
            'limits = {launch_deadline = "2h"}',
            'limits.launch_deadline: got "2h"; it takes 1 s to 1 h',
        ),
        ('limits = {stop_grace = "11m"}', 'limits.stop_grace: got "11m"; it takes 0 s to 10 m'),
        (
            'limits = {result_size = "1"}',
            'limits.result_size: got "1"; it takes 1 KiB to 64 GiB',
        ),
        ('limits = {log_size = "2G"}', 'limits.log_size: got "2G"; it takes 4 KiB to 1 GiB'),
        ('labels = {"a b" = "c"}', "labels: got 'a b'"),
        ('datasets = [{name = "a/b", path = "a"}]', "datasets[0].name: got 'a/b'; it takes a file"),
    ],
)
def test_a_value_out_of_bounds_is_told_under_the_name_that_people_wrote(
    tmp_path: Path, section: str, complaint: str
) -> None:
    (tmp_path / "a").write_bytes(SHELL)
    (line,) = complaints(tmp_path, f'name = "n"\nalgorithm = {{path = "a"}}\n{section}\n')

    assert line.startswith(f"m.toml: {complaint}")


@pytest.mark.parametrize("name", ["a/b", "a\\nb", ""])
def test_a_name_that_is_not_one_line_of_text_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "a").write_bytes(SHELL)
    (line,) = complaints(tmp_path, f'name = "{name}"\nalgorithm = {{path = "a"}}\n')

    assert line.startswith("m.toml: name: got ")


@pytest.mark.parametrize("bound", RANGES, ids=lambda bound: bound.field)
def test_the_ends_of_a_range_are_written_as_a_manifest_takes_them(bound: Range) -> None:
    ends = bound.range.split(" to ")
    if not bound.unit:
        read = [int(end) for end in ends]
    else:
        read = [(parse_size if bound.unit == "bytes" else parse_duration)(end) for end in ends]

    assert read == [bound.least, bound.greatest]


def test_every_name_of_the_core_is_translated() -> None:
    cores = {bound.field for bound in RANGES}

    assert cores - set(CORE_NAMES) == {"vm.cpus", "restart.max_restarts"}
    sections = {"vm": VmSection, "limits": LimitsSection, "restart": RestartSection}
    for core, written in CORE_NAMES.items():
        assert core in cores
        section, field = written.split(".")
        assert field in sections[section].__struct_fields__


def test_progress_counts_every_byte_that_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(SHELL)
    file = tmp_path / "m.toml"
    file.write_text('name = "n"\nalgorithm = {path = "a"}\n')
    steps: list[int] = []

    prepare(load(file), file, steps.append)

    assert sum(steps) == len(SHELL)
