"""A daemon on a network: nobody gets in without credentials, and what is wrong is told at once."""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from chronovisor_api import connect, tls_context
from grpclib.client import Channel
from grpclib.const import Cardinality, Status
from grpclib.exceptions import GRPCError

from supervisor.api.grpc_actions import ACTIONS
from tests.e2e.authority import DAY, Authority, Pair
from tests.e2e.daemon_process import Daemon

PATIENCE = 60
NETWORK = "0.0.0.0:0"
LISTEN = ("--grpc", NETWORK, "--http", NETWORK, "--ws", NETWORK)
DENIED, UNREACHABLE, USAGE, HOST_TROUBLE = 4, 3, 2, 7
WEBSOCKETS = ("/v1/events", "/v1/console/a")
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "certificates", "authority")


class Exposed:
    """A daemon on every address of the host, and who comes to it over the network."""

    def __init__(self, daemon: Daemon, authority: Authority, directory: Path) -> None:
        self.daemon = daemon
        self.authority = authority
        self.tokens = directory / "tokens"
        self._directory = directory
        self.create("admin", "admin")

    def create(self, name: str, *options: str) -> Path:
        """Give somebody a role; return the file of the token."""
        file = self._directory / f"{name}.token"
        told = ("--tokens", str(self.tokens), "--role", *options)
        file.write_text(self.daemon.run("token", "create", name, *told))
        return file

    def start(self, *options: str) -> None:
        pair = self.authority.issue("server")
        self.daemon.start(*LISTEN, *pair.options, "--tokens", str(self.tokens), *options)

    def port(self, listener: str) -> int:
        return int(self.daemon.ready[listener]["port"])

    def ask(self, *options: str | Path, code: int = 0) -> str:
        """Run `list` over the network; return what it says."""
        target = ("--connect", f"127.0.0.1:{self.port('grpc')}")
        return self.daemon.run("list", *target, *options, codes=(code,))

    @property
    def ca(self) -> tuple[str, Path]:
        return "--tls-ca", self.authority.file

    @contextmanager
    def client(self, listener: str) -> Iterator[httpx.Client]:
        """Make an HTTP client that trusts the daemon."""
        trusted = ssl.create_default_context(cafile=self.authority.file)
        url = f"https://127.0.0.1:{self.port(listener)}"
        with httpx.Client(base_url=url, verify=trusted, timeout=PATIENCE) as client:
            yield client


@pytest.fixture
def exposed(stopped_daemon: Daemon, authority: Authority, tmp_path: Path) -> Exposed:
    return Exposed(stopped_daemon, authority, tmp_path)


class Nothing:
    """A message that no call takes."""

    def SerializeToString(self) -> bytes:  # noqa: N802 - protobuf's own name
        return b"\xff"

    @classmethod
    def FromString(cls, _data: bytes) -> "Nothing":  # noqa: N802
        return cls()


def refusals(exposed: Exposed, token: str | None) -> set[Status]:
    """Return how all the calls that there are end for somebody."""

    async def refusal(channel: Channel, path: str) -> Status:
        try:
            await answer(channel, path)
        except GRPCError as refused:
            return refused.status
        raise AssertionError(f"{path} took a message of no meaning")

    async def answer(channel: Channel, path: str) -> None:
        async with channel.request(path, Cardinality.UNARY_STREAM, Nothing, Nothing) as stream:
            await stream.send_request()  # who is refused is so before there is a message
            await stream.recv_initial_metadata()

    async def all_of_them() -> set[Status]:
        tls, target = tls_context(ca=exposed.authority.file), f"127.0.0.1:{exposed.port('grpc')}"
        async with asyncio.timeout(PATIENCE), connect(target, token, tls=tls) as channel:
            return {await refusal(channel, path) for path in ACTIONS}

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:  # not trio-asyncio's
        return runner.run(all_of_them())


def test_a_network_takes_tls_and_tokens(stopped_daemon: Daemon, authority: Authority) -> None:
    pair = authority.issue("server")
    for options in ((), pair.options):
        code, said = stopped_daemon.serve_and_fail(*LISTEN, *options)
        assert code == USAGE
        assert (
            said.count("is not a loopback address: without TLS and tokens only") == len(LISTEN) / 2
        )
    assert not stopped_daemon.state_dir.exists()


def test_strangers_are_told_that_they_are_strangers_and_nothing_else(exposed: Exposed) -> None:
    exposed.start()
    assert refusals(exposed, None) == {Status.UNAUTHENTICATED}
    assert refusals(exposed, "x" * 43) == {Status.UNAUTHENTICATED}
    token = (exposed.daemon.state_dir / "token").read_text().strip()
    with exposed.client("http") as client:
        described = client.get("/openapi.json", headers={"Authorization": f"Bearer {token}"})
        routes = [
            (method, path)
            for path, methods in described.json()["paths"].items()
            for method in methods
        ]
        assert len(routes) > len(WEBSOCKETS)
        assert {client.request(*route).status_code for route in routes} == {401}
    with exposed.client("websocket") as client:
        assert {client.get(path, headers=UPGRADE).status_code for path in WEBSOCKETS} == {401}
    for listener in ("http", "websocket"):
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{exposed.port(listener)}/healthz", timeout=PATIENCE)
    admin = exposed.tokens.with_name("admin.token")
    said = exposed.ask("--token-file", admin, code=UNREACHABLE)
    assert "hung up before it said a word: if it speaks TLS, name --tls-ca" in said
    said = exposed.ask(*exposed.ca, "--token-file", exposed.tokens, code=DENIED)
    assert "(not a token)" in said


def test_tokens_that_are_void_are_told_so_and_let_nobody_in(exposed: Exposed) -> None:
    exposed.start()
    viewer = exposed.create("alice", "viewer")
    exposed.ask(*exposed.ca, "--token-file", viewer)
    cut = viewer.with_name("cut")
    cut.write_text(viewer.read_text()[:20])
    said = exposed.ask(*exposed.ca, "--token-file", cut, code=DENIED)
    assert "the token is none of this daemon; it may be cut short" in said
    exposed.daemon.run("token", "revoke", "alice", "--tokens", exposed.tokens)
    said = exposed.ask(*exposed.ca, "--token-file", viewer, code=DENIED)
    assert "the token of alice was revoked; ask for a new one" in said
    late = exposed.create("late", "viewer", "--expires", "1ms")
    said = exposed.ask(*exposed.ca, "--token-file", late, code=DENIED)
    assert "the token of late has expired" in said
    assert viewer.read_text().strip() not in exposed.tokens.read_text()


def test_a_daemon_that_another_authority_signed_is_not_trusted(
    exposed: Exposed, tmp_path: Path
) -> None:
    exposed.start()
    stranger = Authority(tmp_path / "elsewhere", "stranger")
    token = ("--token-file", tmp_path / "admin.token")
    said = exposed.ask("--tls-ca", stranger.file, *token, code=UNREACHABLE)
    assert "its certificate is not trusted" in said


def test_a_certificate_is_a_proof_where_one_is_asked_for(exposed: Exposed, tmp_path: Path) -> None:
    exposed.create("Bob", "viewer", "--certificate")
    bob, nobody = exposed.authority.issue("Bob"), exposed.authority.issue("Nobody")
    forged = Authority(tmp_path / "elsewhere", "stranger").issue("Bob")
    late = exposed.authority.issue("late", since=-2 * DAY, until=-DAY)
    exposed.start("--tls-client-ca", str(exposed.authority.file))

    def ask(pair: Pair, code: int) -> str:
        files = ("--tls-cert", pair.certificate, "--tls-key", pair.key)
        return exposed.ask(*exposed.ca, *files, code=code)

    ask(bob, 0)
    assert "'Nobody' of the certificate was granted no role here" in ask(nobody, DENIED)
    for pair in (forged, late):
        assert f"its own log says whether it takes {pair.certificate}" in ask(pair, UNREACHABLE)
    token = ("--token-file", tmp_path / "admin.token")
    said = exposed.ask(*exposed.ca, *token, code=UNREACHABLE)
    assert "if it asks clients for a certificate, name --tls-cert and --tls-key" in said
    told = exposed.daemon.stderr()
    assert "its certificate is not taken: unable to get local issuer certificate" in told
    assert "its certificate is not taken: certificate has expired" in told
    assert "it showed no certificate, and tls.client_ca asks for one" in told


Spoil = Callable[[Authority], tuple[str, ...]]


def expired(authority: Authority) -> tuple[str, ...]:
    return authority.issue("server", since=-2 * DAY, until=-DAY).options


def too_early(authority: Authority) -> tuple[str, ...]:
    return authority.issue("server", since=DAY, until=2 * DAY).options


def mismatched(authority: Authority) -> tuple[str, ...]:
    first, second = authority.issue("server"), authority.issue("other")
    return ("--tls-certificate", str(first.certificate), "--tls-key", str(second.key))


def no_pem(authority: Authority) -> tuple[str, ...]:
    pair = authority.issue("server")
    pair.certificate.write_text("a certificate")
    return pair.options


def readable_key(authority: Authority) -> tuple[str, ...]:
    pair = authority.issue("server")
    pair.key.chmod(0o644)
    return pair.options


@pytest.mark.parametrize(
    ("spoil", "code", "sentence"),
    [
        (expired, HOST_TROUBLE, "server.pem expired at "),
        (too_early, HOST_TROUBLE, "server.pem is valid from "),
        (mismatched, HOST_TROUBLE, "other.key is not the key of the certificate in "),
        (no_pem, HOST_TROUBLE, "server.pem: no certificate in pem"),
        (readable_key, USAGE, "run chmod 600 "),
    ],
    ids=["expired", "too early", "mismatched", "no PEM", "readable key"],
)
def test_a_certificate_that_clients_would_refuse_is_told_at_the_start(
    exposed: Exposed, spoil: Spoil, code: int, sentence: str
) -> None:
    options = spoil(exposed.authority)
    found = exposed.daemon.serve_and_fail(*LISTEN, *options, "--tokens", str(exposed.tokens))
    assert found[0] == code
    assert sentence in found[1]
    assert len(found[1].splitlines()) == 1
    assert not exposed.daemon.state_dir.exists()
