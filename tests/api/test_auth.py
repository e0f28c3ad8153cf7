"""Who may come in."""

import os
import socket
import ssl
from pathlib import Path

import pytest

from supervisor.api import auth
from supervisor.secret_file import SecretUnfit
from supervisor.vm.commands import CommandDenied, DenyReason

TOKEN = "a-token-of-thirty-two-characters"


def test_a_token_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "token"
    made = auth.load_token(path)
    assert len(made) >= 43  # 256 bits as base64
    assert path.stat().st_mode & 0o777 == 0o600
    assert auth.load_token(path) == made
    assert [entry.name for entry in tmp_path.iterdir()] == ["token"]


def test_two_state_directories_have_two_tokens(tmp_path: Path) -> None:
    assert auth.load_token(tmp_path / "a") != auth.load_token(tmp_path / "b")


@pytest.mark.parametrize("content", ["", "short", "two words of some length", "ä" * 20])
def test_a_file_without_a_token_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "token"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(SecretUnfit, match="holds no token"):
        auth.load_token(path)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_token_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    path.chmod(mode)
    with pytest.raises(SecretUnfit, match="others may read"):
        auth.load_token(path)


def test_a_link_in_the_token_s_place_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text(TOKEN)
    elsewhere.chmod(0o600)
    (tmp_path / "token").symlink_to(elsewhere)
    with pytest.raises(SecretUnfit, match="is not a regular file"):
        auth.load_token(tmp_path / "token")


@pytest.mark.parametrize("header", [f"Bearer {TOKEN}", f"bearer  {TOKEN}"])
def test_the_token_is_taken(header: str) -> None:
    assert auth.Credentials(TOKEN).identify({"authorization": header}).principal == "token:default"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": TOKEN},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": f"Bearer {TOKEN}x"},
        {"authorization": f"Bearer {TOKEN[:-1]}"},
        {"authorization": f"Bearer {TOKEN} {TOKEN}"},
    ],
)
def test_anything_else_is_not(headers: dict[str, str]) -> None:
    with pytest.raises(CommandDenied) as denied:
        auth.Credentials(TOKEN).identify(headers)
    assert denied.value.reason is DenyReason.UNAUTHENTICATED
    assert TOKEN not in denied.value.detail


def test_the_uid_of_a_peer_is_known_and_only_two_may_enter() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        uid = auth.peer_uid(ours)
    assert uid == os.geteuid()
    assert auth.authenticate_peer(uid).principal == f"uid:{uid}"
    assert auth.authenticate_peer(0).principal == "uid:0"
    with pytest.raises(CommandDenied, match="uid 54321 may not use this socket"):
        auth.authenticate_peer(54321)


@pytest.mark.parametrize("origin", [None, "http://127.0.0.1:9022", "HTTP://127.0.0.1:9022"])
def test_pages_of_this_very_listener_may_connect(origin: str | None) -> None:
    auth.check_origin(origin, "127.0.0.1:9022")


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "http://127.0.0.1",
        "http://127.0.0.1:9023",
        "https://127.0.0.1:9022",
        "http://127.0.0.1:9022.evil.example",
        "http://evil.example",
    ],
)
def test_other_pages_may_not(origin: str) -> None:
    with pytest.raises(CommandDenied) as denied:
        auth.check_origin(origin, "127.0.0.1:9022")
    assert denied.value.reason is DenyReason.PERMISSION_DENIED


@pytest.mark.parametrize("given", ["", "00-abc", f"01-{'a' * 32}-{'b' * 16}-01", "x" * 10_000])
def test_a_malformed_trace_is_ignored(given: str) -> None:
    assert auth.traceparent({"traceparent": given}) == ""


def test_behind_tls_a_page_is_ours_only_if_it_came_by_tls() -> None:
    door = auth.Door(auth.Credentials(TOKEN), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    door.check_place("127.0.0.1:9021", "https://127.0.0.1:9021")
    with pytest.raises(CommandDenied, match="may not connect here"):
        door.check_place("127.0.0.1:9021", "http://127.0.0.1:9021")
