"""The variables of the Cocos manager: what each comes to, and that none is passed over."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.config import Address, LogLevel, PortRange, cocos
from supervisor.config.loading import Compat
from supervisor.config.settings import BY_KEY
from tests.config.conftest import Start

MANAGER = {
    "MANAGER_LOG_LEVEL": "warn",
    "MANAGER_GRPC_HOST": "localhost",
    "MANAGER_GRPC_PORT": "7002",
    "MANAGER_HTTP_PORT": "7003",
    "MANAGER_MAX_VMS": "10",
    "MANAGER_QEMU_HOST_FWD_RANGE": "6100-6200",
}


def test_what_means_something_here_is_obeyed(start: Start) -> None:
    loaded = start(MANAGER, compat=Compat.COCOS)
    config = loaded.resolved.config

    assert loaded.warnings == ()
    assert config.log.level is LogLevel.WARNING
    assert config.listen.grpc == Address("localhost", 7002)
    assert config.listen.http == Address("127.0.0.1", 7003)
    assert config.capacity.max_running == 10
    assert config.capacity.forward_ports == PortRange(6100, 6200)
    assert str(loaded.resolved.sources["listen.http"]) == "MANAGER_HTTP_PORT"


def test_without_being_asked_for_they_say_nothing(start: Start) -> None:
    assert start(MANAGER) == start()


def test_they_are_weaker_than_our_own_and_stronger_than_the_file(start: Start) -> None:
    start.write("capacity = {max_running = 1}\nlog = {level = 'error'}\n")
    ours = {"CHRONOVISOR_LOG_LEVEL": "debug"}
    config = start({**MANAGER, **ours}, compat=Compat.COCOS).resolved.config
    assert (config.capacity.max_running, config.log.level) == (10, LogLevel.DEBUG)


def test_the_certificates_of_both_listeners_must_be_the_same(start: Start) -> None:
    given = {"MANAGER_GRPC_SERVER_CERT": "a.pem", "MANAGER_HTTP_SERVER_CERT": "b.pem"}
    assert start.refused(given, compat=Compat.COCOS) == [
        "MANAGER_HTTP_SERVER_CERT: differs from MANAGER_GRPC_SERVER_CERT; one tls.certificate "
        "serves all, so give both the same"
    ]


def test_certificates_are_taken(start: Start, tmp_path: Path) -> None:
    for name in ("c.pem", "k.pem"):
        (tmp_path / name).touch(0o600)
    both = {
        f"MANAGER_{api}_SERVER_{what}": str(tmp_path / file)
        for api in ("GRPC", "HTTP")
        for what, file in (("CERT", "c.pem"), ("KEY", "k.pem"))
    }
    config = start(both, compat=Compat.COCOS).resolved.config
    assert (config.tls.certificate, config.tls.key) == (tmp_path / "c.pem", tmp_path / "k.pem")


@pytest.mark.parametrize("name", ["MANAGER_QEMU_HOST_FWD_RANGE", "MANAGER_GRPC_PORT"])
def test_a_wrong_value_is_refused_under_the_name_it_came_by(start: Start, name: str) -> None:
    (told,) = start.refused({name: "nonsense"}, compat=Compat.COCOS)
    assert told.startswith(f"{name}: got ")


def test_every_other_variable_is_warned_of_by_name(start: Start) -> None:
    names = [*cocos.WITHOUT_EFFECT, "MANAGER_QEMU_SEV_CBITPOS", "COCOS_JAEGER_URL"]
    warnings = start(dict.fromkeys(names, "1"), compat=Compat.COCOS).warnings

    assert [warning.split()[0] for warning in warnings] == sorted(names)
    assert "MANAGER_QEMU_SMP_COUNT has no effect: a manifest says vm.cpus" in warnings


@given(st.dictionaries(st.text("MANAGERQUHTPCOS_", min_size=1), st.text(max_size=9), max_size=9))
def test_no_variable_of_the_manager_is_passed_over(environment: dict[str, str]) -> None:
    translation = cocos.translate(environment)
    told = {warning.split()[0] for warning in translation.warnings}
    obeyed = {given.source.name for given in translation.layer.values()}
    assert translation.layer.keys() <= BY_KEY.keys()
    assert told | obeyed >= {
        name for name, text in environment.items() if name.startswith(cocos.PREFIXES) and text
    } - {"MANAGER_GRPC_HOST", "MANAGER_HTTP_HOST", "MANAGER_GRPC_PORT", "MANAGER_HTTP_PORT"}


def test_an_address_that_is_wrong_names_both_variables_that_it_is_made_of(start: Start) -> None:
    given = {"MANAGER_GRPC_HOST": "localhost", "MANAGER_GRPC_PORT": "x"}
    (told,) = start.refused(given, compat=Compat.COCOS)
    assert told.startswith('MANAGER_GRPC_HOST, MANAGER_GRPC_PORT: got "localhost:x"; it takes')
