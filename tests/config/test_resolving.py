"""Which of the ways in wins, and that it is remembered."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisor.config import Address, Config, Networking, PortRange
from supervisor.config.places import default_catalogue, default_file, default_state_dir
from supervisor.config.resolving import Origin, value_of
from supervisor.config.settings import BY_KEY, SETTINGS
from tests.config.conftest import Start, flags

RIGHT = {
    "state_dir": "/s",
    "catalogue": "/c",
    "listen.grpc": "[::1]:1",
    "listen.http": "localhost:2",
    "listen.websocket": "127.1.2.3:0",
    "listen.unix": "unix:/u",
    "log.level": "debug",
    "log.format": "json",
    "telemetry.traces": "https://collector:4318/v1/traces",
    "capacity.max_running": "3",
    "capacity.max_vms": "4",
    "capacity.max_vms_per_principal": "5",
    "capacity.max_requests_per_second": "8",
    "capacity.forward_ports": "6-7",
    "capacity.networking": "unrestricted",
    "qemu_user": "q",
    "set_aside": "a, b",
    "stop_vms": "true",
}
"""A value for each setting that needs no file, other than its default."""

FILES = {"tls.certificate", "tls.key", "tls.client_ca", "tokens", "fault_plan"}


def test_every_setting_is_tried() -> None:
    assert RIGHT.keys() | FILES == BY_KEY.keys()


def test_keys_variables_and_flags_are_unique() -> None:
    for names in zip(*((s.key, s.variable, s.flag) for s in SETTINGS), strict=True):
        assert len(set(names)) == len(names)


def test_without_a_word_the_defaults_hold(start: Start) -> None:
    loaded = start()
    data, state = start.home / ".local/share", start.home / ".local/state"

    config = Config(state / "chronovisor", data / "chronovisor" / "guest")
    assert (loaded.resolved.config, loaded.warnings, loaded.file) == (config, (), None)
    assert {source.origin for source in loaded.resolved.sources.values()} == {Origin.DEFAULT}


def test_root_keeps_its_things_where_the_system_does() -> None:
    places = [place({"HOME": "/h"}, 0) for place in (default_file, default_state_dir)]
    assert places == [Path("/etc/chronovisor/chronovisor.toml"), Path("/var/lib/chronovisor")]
    assert default_catalogue({}, 0) == Path("/var/lib/chronovisor/guest")


WAYS = st.sets(st.sampled_from(list(Origin)[:3]))


@pytest.mark.parametrize("key", RIGHT)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=8)
@given(ways=WAYS)
def test_the_nearest_way_in_wins_and_is_named(start: Start, key: str, ways: set[Origin]) -> None:
    setting, text = BY_KEY[key], RIGHT[key]
    start.write(_toml(key, text) if Origin.FILE in ways else "")
    variables = {setting.variable: text} if Origin.ENVIRONMENT in ways else {}
    line = flags(**{key.replace(".", "__"): text}) if Origin.FLAG in ways else {}

    resolved = start(variables, flags=line).resolved

    order = [origin for origin in Origin if origin in ways] or [Origin.DEFAULT]
    source = resolved.sources[key]
    assert source.origin is order[0]
    names = {
        Origin.FLAG: setting.flag,
        Origin.ENVIRONMENT: setting.variable,
        Origin.FILE: f"{start.file}:1",
        Origin.DEFAULT: "default",
    }
    assert str(source) == names[order[0]]
    is_default = value_of(resolved.config, key) == value_of(_untouched(start), key)
    assert is_default == (not ways)


def _untouched(start: Start) -> Config:
    start.write("")
    return start().resolved.config


def _toml(key: str, text: str) -> str:
    if text.isdecimal() or text == "true":
        return f"{key} = {text}"
    return f'{key} = ["a", "b"]' if key == "set_aside" else f'{key} = "{text}"'


def test_values_become_what_the_daemon_works_with(start: Start) -> None:
    names = {BY_KEY[key].variable: text for key, text in RIGHT.items()}
    config = start(names).resolved.config

    assert config.listen.grpc == Address("::1", 1)
    assert config.capacity.forward_ports == PortRange(6, 7)
    assert config.capacity.networking is Networking.UNRESTRICTED
    assert config.set_aside == ("a", "b")
    assert config.stop_vms


@pytest.mark.parametrize(
    ("key", "text", "takes"),
    [
        ("listen.grpc", "127.0.0.1", "HOST:PORT with a port of 0 to 65535"),
        ("listen.grpc", "127.0.0.1:70000", "HOST:PORT with a port of 0 to 65535"),
        ("listen.grpc", ":1", "HOST:PORT with a port of 0 to 65535"),
        ("listen.grpc", "x:٣", "HOST:PORT with a port of 0 to 65535"),
        ("capacity.forward_ports", "9-1", "LOW-HIGH with ports of 1 to 65535"),
        ("capacity.forward_ports", "0-9", "LOW-HIGH with ports of 1 to 65535"),
        ("capacity.forward_ports", "1-65536", "LOW-HIGH with ports of 1 to 65535"),
        ("capacity.forward_ports", "٣-٩", "LOW-HIGH with ports of 1 to 65535"),
        ("capacity.max_running", "0", "a whole number from 1 on"),
        ("capacity.max_vms", "many", "a whole number from 1 on"),
        ("capacity.max_vms", "9" * 5000, "a whole number from 1 on"),
        ("capacity.max_vms_per_principal", "-1", "a whole number from 1 on"),
        ("log.level", "debgu", '"debug", "info", "warning", "error"; did you mean "debug"?'),
        ("stop_vms", "yes", "true or false"),
        ("state_dir", "a\nb", "a path"),
    ],
)
def test_what_a_setting_does_not_take_is_refused(
    start: Start, key: str, text: str, takes: str
) -> None:
    setting = BY_KEY[key]
    by_flag = start.refused(flags=flags(**{key.replace(".", "__"): text}))
    by_variable = start.refused({setting.variable: text})

    for name, lines in ((setting.flag, by_flag), (setting.variable, by_variable)):
        assert len(lines) == 1
        assert lines[0].startswith(f"{name}: got ")
        assert lines[0].endswith(f"; it takes {takes}")


def test_a_wrong_value_is_told_although_it_is_overruled(start: Start) -> None:
    start.write("capacity.max_vms = 0\n")
    told = start.refused(flags=flags(capacity__max_vms="1", capacity__max_running="0"))
    assert told == [
        ".config/chronovisor/chronovisor.toml:1: capacity.max_vms: got 0; it takes a whole number "
        "from 1 on",
        "--max-running: got 0; it takes a whole number from 1 on",
    ]


def test_a_variable_that_nobody_reads_is_warned_of_with_the_nearest_name(start: Start) -> None:
    names = {"CHRONOVISOR_LISTEN_GRPCC": "x", "CHRONOVISOR_PORT_80_TCP": "y"}
    warnings = start({**names, "CHRONOVISOR_CONNECT": "z", "CHRONOVISOR_LOG_LEVEL": ""}).warnings
    assert warnings == (
        "CHRONOVISOR_LISTEN_GRPCC has no effect; did you mean CHRONOVISOR_LISTEN_GRPC?",
        "CHRONOVISOR_PORT_80_TCP has no effect",
    )
