"""The configuration file: where it is looked for, and what is said of a wrong one."""

import os
from pathlib import Path

import pytest

from tests.config.conftest import Start

HERE = ".config/chronovisor/chronovisor.toml"


def test_paths_are_relative_to_the_file_and_a_tilde_is_home(start: Start) -> None:
    file = start.write('state_dir = "state"\ncatalogue = "/guests"\n')
    config = start().resolved.config
    assert (config.state_dir, config.catalogue) == (file.parent / "state", Path("/guests"))


def test_a_socket_is_relative_to_the_file(start: Start) -> None:
    file = start.write('listen.unix = "unix:s"')
    unix = start().resolved.config.listen.unix
    assert unix is not None
    assert unix.path == file.parent / "s"


def test_a_file_may_be_named_and_must_then_be_there(start: Start, tmp_path: Path) -> None:
    named = tmp_path / "other.toml"
    named.write_text("stop_vms = true")

    assert start(file=named).resolved.config.stop_vms
    assert start({"CHRONOVISOR_CONFIG": str(named)}).file == named
    assert start.refused(file=tmp_path / "none.toml") == ["none.toml: no such file or directory"]


def test_a_link_that_leads_nowhere_is_not_taken_for_no_file(start: Start) -> None:
    start.write("").unlink()
    start.file.symlink_to("nowhere")
    assert start.refused() == [f"{HERE}: no such file or directory"]


def test_a_link_to_a_file_is_followed(start: Start, tmp_path: Path) -> None:
    (tmp_path / "real.toml").write_text("stop_vms = true")
    start.write("").unlink()
    start.file.symlink_to(tmp_path / "real.toml")
    assert start().resolved.config.stop_vms


def _line(told: str) -> int:
    return int(told.split(":")[1])


def test_every_fault_is_told_with_its_line_and_its_nearest_name(start: Start) -> None:
    start.write(
        'tokn = "x"\n'
        "tls = 3\n"
        "[capacity]\n"
        'max_vms = "many" # 9\n'
        "max_runing = 3\n"
        "[loging]\n"
        'level = "info"\n'
        "[log]\n"
        "xyzzy = 1\n"
        'level = "loud"\n'
    )
    assert sorted(start.refused(), key=_line) == [
        f'{HERE}:1: tokn: unknown field; did you mean "tokens"?',
        f"{HERE}:2: tls: takes a table; takes certificate, key, client_ca",
        f'{HERE}:4: capacity.max_vms: got "many"; it takes a whole number from 1 on',
        f'{HERE}:5: capacity.max_runing: unknown field; did you mean "max_running"?',
        f'{HERE}:6: loging: unknown field; did you mean "log"?',
        f"{HERE}:9: log.xyzzy: unknown field; takes level, format",
        f'{HERE}:10: log.level: got "loud"; it takes "debug", "info", "warning", "error"',
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\n\ncapacity = {max_vms = 0}", 3),
        ("\ncapacity.max_vms = 0", 2),
        ("[ capacity ] # limits\n\nmax_vms=0", 3),
    ],
)
def test_a_key_is_found_however_it_is_written(start: Start, text: str, line: int) -> None:
    start.write(text)
    (told,) = start.refused()
    assert told.startswith(f"{HERE}:{line}: capacity.max_vms: got 0;")


@pytest.mark.parametrize(
    "text",
    [
        'token = "hush-hush"',
        'api_secret = "hush-hush"',
        '[tls]\npassword = "hush-hush"',
        '[tls]\nkey = """-----BEGIN PRIVATE KEY-----\nhush-hush\n-----END PRIVATE KEY-----"""',
        'tokens = "hush-hush"',
        'tls.key = "hush-hush"\ntls.certificate = "c"',
    ],
)
def test_a_secret_that_stands_here_is_refused_and_not_repeated(start: Start, text: str) -> None:
    start.write(text)
    told = "\n".join(start.refused())
    assert "it takes the path of a file" in told or "put it into a file of its own" in told
    assert "hush-hush" not in told


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ('[tokens]\nalice = "hush-hush"', "tokens: got a table"),
        ('tokens = ["hush-hush"]', "tokens: got a list"),
        ('[[tokens]]\nname = "hush-hush"', "tokens: got a list"),
        ('tls.key = {pem = "hush-hush"}', "tls.key: got a table"),
        ('tls.key = """hush-hush\n"""', "tls.key: got text that is not one line"),
        ('telemetry.traces = ["http://u:hush-hush@h:1"]', "telemetry.traces: got a list"),
    ],
)
def test_what_may_hold_a_secret_is_not_repeated(start: Start, text: str, got: str) -> None:
    start.write(text)
    told = "\n".join(start.refused())
    assert f"{got}; it takes " in told
    assert "hush-hush" not in told


def test_a_secret_in_a_variable_is_not_repeated(start: Start) -> None:
    (told,) = start.refused({"CHRONOVISOR_TLS_KEY": "-----BEGIN EC PRIVATE KEY-----\nhush"})
    assert told == (
        "CHRONOVISOR_TLS_KEY: holds a secret itself: put it into a file of its own, chmod 600, and "
        "give the path"
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"a = 1\n= 2", "not TOML: Invalid statement (at line 2, column 1)"),
        (b"\xff", "not UTF-8 text (byte 0)"),
        (b"#" * (1 << 18) + b"#", "larger than 262144 bytes, so it is another file"),
        (b"a = " + b"[" * 20_000, "not TOML: nested too deeply"),
    ],
)
def test_what_is_no_configuration_is_told(start: Start, content: bytes, told: str) -> None:
    start.write("").write_bytes(content)
    assert start.refused() == [f"{HERE}: {told}"]


def test_what_is_no_file_is_told(start: Start, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert start.refused(file=tmp_path / "pipe") == ["pipe: not a regular file"]
    assert start.refused(file=tmp_path) == [f"{tmp_path}: not a regular file"]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://u:s3cret@h:4318", "http://[redacted]@h:4318"),
        ("http://h:4318/v1?key=s3cret", "http://h:4318/v1?[redacted]"),
        ("http://u:s3c@ret@h/?a=s3cret#s3cret", "http://[redacted]@h/?[redacted]"),
    ],
)
def test_the_secret_of_an_url_is_not_repeated(start: Start, url: str, told: str) -> None:
    start.write(f'telemetry.traces = "{url}"')
    (complaint,) = start.refused()
    assert f'got "{told}"; it takes an URL' in complaint


def test_a_quoted_name_is_one_name_and_is_told_on_one_line(start: Start) -> None:
    start.write('"capacity.max_vms" = 3\n[capacity]\n"max\\nvms" = 3\n')
    first, second = start.refused()
    assert '"capacity.max_vms": unknown field' in first
    assert 'capacity."max\\nvms": unknown field' in second
