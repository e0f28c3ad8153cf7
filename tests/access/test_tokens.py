"""Tokens and certificates -> who somebody is; the file that they are kept in."""

import hashlib
import os
import resource
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.access.roles import Identity, Role
from supervisor.access.token_file import (
    FILE_BYTES,
    GRANTS_MOST,
    WatchedGrants,
    changing,
    read_grants,
    write_grants,
)
from supervisor.access.tokens import NAME, Grant, Grants, by_certificate, by_token, digest
from supervisor.api.auth import Credentials
from supervisor.secret_file import SecretUnfit
from supervisor.vm.commands import CommandDenied, DenyReason
from tests.host.test_logs import limited

TOKEN = "a-token-that-nobody-guesses"
NOW_MS = 1_700_000_000_000
PATIENCE_S = 120
"""Each waits for all the others, on a disk that may be slow."""
ALICE = Grant("alice", Role.OWNER, NOW_MS, "red", digest(TOKEN))
BOB = Grant("Bob", Role.PARTY, NOW_MS, "red")


def test_a_token_proves_who_its_holder_is() -> None:
    assert by_token((BOB, ALICE), TOKEN, NOW_MS) == Identity("alice", "red", Role.OWNER)


@pytest.mark.parametrize("other", [TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "", digest(TOKEN)])
def test_another_token_proves_nothing(other: str) -> None:
    assert by_token((BOB, ALICE), other, NOW_MS) is None


@pytest.mark.parametrize(
    ("change", "word"),
    [({"revoked_ms": NOW_MS}, "was revoked"), ({"expires_ms": NOW_MS}, "has expired")],
)
def test_a_void_proof_is_told_so(change: dict[str, int], word: str) -> None:
    alice, bob = (msgspec.structs.replace(grant, **change) for grant in (ALICE, BOB))
    with pytest.raises(CommandDenied, match=word) as by_its_token:
        by_token((alice,), TOKEN, NOW_MS)
    with pytest.raises(CommandDenied, match=word) as by_its_certificate:
        by_certificate((bob,), ("Bob",), NOW_MS)
    for denied in (by_its_token, by_its_certificate):
        assert denied.value.reason is DenyReason.UNAUTHENTICATED


def test_a_certificate_is_no_proof_for_one_who_has_a_token() -> None:
    assert by_certificate((ALICE, BOB), ("alice",), NOW_MS) is None
    assert by_certificate((ALICE, BOB), ("else", "Bob"), NOW_MS) == BOB.identity


def test_a_token_counts_more_than_a_certificate() -> None:
    credentials = Credentials("own", lambda: Grants((ALICE, BOB)), now_s=lambda: NOW_MS / 1000)
    headers = {"authorization": f"Bearer {TOKEN}"}
    assert credentials.identify(headers, ("Bob",)).principal == "alice"
    assert credentials.identify({}, ("Bob",)).principal == "Bob"
    with pytest.raises(CommandDenied):
        credentials.identify({"authorization": "Bearer wrong"}, ("Bob",))


@given(st.text(max_size=130))
def test_no_name_is_that_of_the_daemons_own_principals(name: str) -> None:
    if NAME.fullmatch(name):
        assert ":" not in name
        assert name.isascii()


def test_the_file_keeps_no_token_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    with changing(path):
        write_grants(path, Grants((ALICE, BOB)))
    assert read_grants(path) == Grants((ALICE, BOB))
    assert path.stat().st_mode & 0o777 == 0o600
    assert TOKEN not in path.read_text()
    assert hashlib.sha256(TOKEN.encode()).hexdigest() in path.read_text()


def test_who_keeps_the_file_for_itself_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    refused = pytest.raises(SecretUnfit, match="another program has been changing")
    with changing(path), refused, changing(path, within_s=0):
        raise AssertionError("two change the file at once")
    with changing(path, within_s=0):
        pass


def test_of_those_who_change_the_file_at_once_each_is_heard(tmp_path: Path) -> None:
    path = tmp_path / "tokens"

    def add(number: int) -> None:
        with changing(path, within_s=PATIENCE_S):
            grant = msgspec.structs.replace(BOB, name=f"b{number}")
            write_grants(path, read_grants(path).with_grant(grant))

    with ThreadPoolExecutor(8) as operators:
        list(operators.map(add, range(40)))
    assert len(read_grants(path).grants) == 40


def test_a_file_that_a_full_disk_does_not_take_is_named_and_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    write_grants(path, Grants((ALICE,)))
    with (
        limited(resource.RLIMIT_FSIZE, 5),  # as good as a full disk: no byte more is taken
        pytest.raises(OSError, match=f"'{path}'"),
    ):
        write_grants(path, Grants((ALICE, BOB)))
    assert read_grants(path) == Grants((ALICE,))
    assert list(tmp_path.iterdir()) == [path]


def others_may_read(path: Path) -> None:
    path.chmod(0o640)


def no_json(path: Path) -> None:
    path.write_text("alice")


def unknown_role(path: Path) -> None:
    path.write_text('{"grants":[{"name":"a","role":"king","created_ms":0}]}')


def misspelt(path: Path) -> None:
    path.write_text('{"grants":[{"name":"a","role":"owner","created_ms":0,"expires":1}]}')


def a_time_without_a_date(path: Path) -> None:
    path.write_text('{"grants":[{"name":"a","role":"owner","created_ms":1000000000000000}]}')


def a_name_of_the_daemons_own(path: Path) -> None:
    path.write_bytes(msgspec.json.encode(Grants((msgspec.structs.replace(BOB, name="uid:0"),))))


def the_tenant_of_the_daemon_itself(path: Path) -> None:
    path.write_bytes(msgspec.json.encode(Grants((msgspec.structs.replace(BOB, tenant="host"),))))


def too_long(path: Path) -> None:
    path.write_text(" " * (FILE_BYTES + 1))


def too_many(path: Path) -> None:
    grants = [msgspec.structs.replace(BOB, name=f"b{n}") for n in range(GRANTS_MOST + 1)]
    path.write_bytes(msgspec.json.encode(Grants(tuple(grants))))


def a_link(path: Path) -> None:
    path.symlink_to(path.rename(path.with_name("elsewhere")))


def a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "spoil",
    [
        others_may_read,
        no_json,
        unknown_role,
        misspelt,
        a_time_without_a_date,
        a_name_of_the_daemons_own,
        the_tenant_of_the_daemon_itself,
        too_long,
        too_many,
        a_directory,
        a_link,
    ],
)
def test_a_file_that_is_unfit_is_told_at_the_start_and_lets_nobody_in_later(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    path = tmp_path / "tokens"
    write_grants(path, Grants((ALICE,)))
    watched = WatchedGrants(path)
    assert watched.current() == Grants((ALICE,))
    spoil(path)
    with pytest.raises(SecretUnfit, match="tokens"):
        read_grants(path)
    assert watched.current() == Grants()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: another user's file")
def test_a_file_of_another_user_lets_nobody_in(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    write_grants(path, Grants((ALICE,)))
    watched = WatchedGrants(path)
    os.chown(path, 65534, 65534)
    with pytest.raises(SecretUnfit, match="belongs to user 65534"):
        read_grants(path)
    assert watched.current() == Grants()


def test_a_change_holds_at_once(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    watched = WatchedGrants(path)
    assert watched.current() == Grants()
    write_grants(path, Grants((ALICE,)))
    assert watched.current() == Grants((ALICE,))
    path.unlink()
    assert watched.current() == Grants()


def test_a_file_that_could_not_be_read_for_a_moment_is_read_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tokens"
    write_grants(path, Grants((ALICE,)))
    watched = WatchedGrants(path)
    write_grants(path, Grants((BOB,)))
    with limited(resource.RLIMIT_NOFILE, 0):  # a daemon with as many clients as it has descriptors
        assert watched.current() == watched.current() == Grants()
    assert watched.current() == Grants((BOB,))
    assert len(caplog.records) == 1
