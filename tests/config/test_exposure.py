"""Who may reach the daemon, and whether its files can be used."""

from pathlib import Path

import pytest

from tests.config.conftest import Start


@pytest.fixture
def tls(tmp_path: Path) -> dict[str, str]:
    """Variables that name sound files of a certificate, its key and the tokens."""
    names = {"TLS_CERTIFICATE": 0o644, "TLS_KEY": 0o600, "TOKENS": 0o600}
    for name, mode in names.items():
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)
    return {f"CHRONOVISOR_{name}": str(tmp_path / name) for name in names}


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.2", "[::]", "host", "[fe80::1]"])
@pytest.mark.parametrize("listener", ["GRPC", "HTTP", "WEBSOCKET"])
def test_strangers_are_let_in_by_tls_and_tokens_only(
    start: Start, tls: dict[str, str], host: str, listener: str
) -> None:
    address = {f"CHRONOVISOR_LISTEN_{listener}": f"{host}:1"}

    assert start({**tls, **address}).warnings == ()
    for missing in ("CHRONOVISOR_TOKENS", None):
        some = {} if missing is None else {k: v for k, v in tls.items() if k != missing}
        (told,) = start.refused({**some, **address})
        assert "is not a loopback address: without TLS and tokens only 127.0.0.1" in told


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("TLS_KEY",), "CHRONOVISOR_TLS_KEY: takes tls.certificate beside it"),
        (("TLS_CERTIFICATE",), "CHRONOVISOR_TLS_CERTIFICATE: takes tls.key beside it"),
    ],
)
def test_tls_is_whole_or_not_there(
    start: Start, tls: dict[str, str], names: tuple[str, ...], told: str
) -> None:
    some = {f"CHRONOVISOR_{name}": tls[f"CHRONOVISOR_{name}"] for name in names}
    assert start.refused(some) == [told]


def test_certificates_of_clients_need_one_of_the_daemon(start: Start, tls: dict[str, str]) -> None:
    given = {"CHRONOVISOR_TLS_CLIENT_CA": tls["CHRONOVISOR_TLS_CERTIFICATE"]}
    (told,) = start.refused(given)
    assert told.endswith("takes tls.certificate and tls.key beside it")


@pytest.mark.parametrize("name", ["TLS_KEY", "TOKENS"])
def test_a_secret_that_others_can_read_is_refused_with_the_fix(
    start: Start, tls: dict[str, str], tmp_path: Path, name: str
) -> None:
    (tmp_path / name).chmod(0o640)
    assert start.refused(tls) == [
        f"CHRONOVISOR_{name}: others may use {name}: run chmod 600 {name}"
    ]


def test_a_file_that_is_not_there_or_is_none_is_told(start: Start, tmp_path: Path) -> None:
    given = {"CHRONOVISOR_FAULT_PLAN": str(tmp_path / "plan")}
    assert start.refused(given) == ["CHRONOVISOR_FAULT_PLAN: plan: no such file or directory"]
    (tmp_path / "plan").mkdir()
    assert start.refused(given) == ["CHRONOVISOR_FAULT_PLAN: plan is not a file"]


def test_two_listeners_want_two_addresses(start: Start) -> None:
    start.write('listen = {grpc = "127.0.0.1:9", http = "127.0.0.1:9", websocket = "[::1]:9"}')
    (told,) = start.refused()
    assert "listen.http: 127.0.0.1:9 is listen.grpc, too; give each a port of its own" in told


def test_any_number_of_listeners_may_take_a_free_port(start: Start) -> None:
    start.write('listen = {grpc = "127.0.0.1:0", http = "127.0.0.1:0"}')
    assert start().resolved.config.listen.http.port == 0
