"""Addresses are taken early, privately, and never from somebody who uses them."""

import os
import socket
from pathlib import Path

import pytest

from supervisor.api.listeners import CannotListen, address_of, bind_tcp, listening_unix
from supervisor.config import Address


def test_port_zero_becomes_a_real_one_and_a_taken_port_is_refused() -> None:
    with bind_tcp(Address("127.0.0.1", 0)) as first:
        address = address_of(first)
        assert address.port
        refused = f"cannot listen on {address}: Address already in use; choose another port"
        with pytest.raises(CannotListen, match=refused):
            bind_tcp(address)


def test_an_address_of_another_host_is_refused_and_its_port_is_not_blamed() -> None:
    with pytest.raises(CannotListen, match="; give an address of this host: ip address tells"):
        bind_tcp(Address("192.0.2.1", 0))  # RFC 5737: nobody's


def test_a_unix_socket_is_for_its_owner_only_and_gone_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "s"
    before = os.umask(0)
    try:
        with listening_unix(path):
            assert path.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)
    assert not path.exists()


def test_a_socket_that_nobody_listens_on_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    with listening_unix(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_socket_that_somebody_listens_on_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listening_unix(path):
        with pytest.raises(CannotListen, match="another daemon listens"), listening_unix(path):
            pass
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(CannotListen, match="is no socket"), listening_unix(path):
        pass
    assert path.read_text() == "precious"


def test_a_path_that_is_too_long_is_refused(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 108)
    with pytest.raises(CannotListen, match="too long"), listening_unix(path):
        pass


def test_what_took_the_place_of_a_socket_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listening_unix(path):
        path.rename(tmp_path / "elsewhere")
        path.write_text("another's")
    assert path.read_text() == "another's"


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none" / "s"
    with pytest.raises(CannotListen, match=f"{path}: No such file"), listening_unix(path):
        pass
