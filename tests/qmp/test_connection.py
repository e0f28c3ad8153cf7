"""Bytes in, messages out: however the bytes are cut, whatever garbage they are."""

import json
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.qmp.connection import Failed, Greeted, GuestEvent, QmpConnection, Returned
from supervisor.qmp.errors import QmpProtocolError

GREETING = (
    b'{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian"},'
    b' "capabilities": ["oob"]}}\r\n'
)
EVENT = b'{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}\r\n'
SHUTDOWN = b'{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-reset"}}\r\n'
REFUSED = b'{"id": 2, "error": {"class": "GenericError", "desc": "no such thing"}}\r\n'
TALK = GREETING + EVENT + b'{"return": {}, "id": 1}\r\n' + SHUTDOWN + REFUSED
HEARD = [
    Greeted("7.2.22"),
    GuestEvent("STOP", {}),
    Returned(1, {}),
    GuestEvent("SHUTDOWN", {"guest": True, "reason": "guest-reset"}),
    Failed(2, "GenericError", "no such thing"),
]


def connected(commands: int = 2, *, max_line_bytes: int = 4096) -> QmpConnection:
    connection = QmpConnection(max_line_bytes)
    for _ in range(commands):
        connection.execute("query-status")
    return connection


def test_commands_are_numbered_lines() -> None:
    connection = QmpConnection()
    assert connection.execute("cont") == (1, b'{"execute":"cont","id":1}\n')
    number, request = connection.execute("set-action", {"reboot": "reset"})
    assert json.loads(request) == {
        "execute": "set-action",
        "id": number,
        "arguments": {"reboot": "reset"},
    }


@given(st.lists(st.integers(0, len(TALK))))
def test_the_messages_are_the_same_however_the_bytes_are_cut(cuts: list[int]) -> None:
    connection = connected()
    edges = [0, *sorted(cuts), len(TALK)]
    heard = []
    for start, end in pairwise(edges):
        heard += connection.receive_data(TALK[start:end])
    assert heard == HEARD


def test_single_bytes_are_enough() -> None:
    connection = connected()
    heard = [message for byte in TALK for message in connection.receive_data(bytes((byte,)))]
    assert heard == HEARD


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff\xfe\x00garbage\n",
        b"[1, 2]\n",
        b'"event"\n',
        b"{}\n",
        b'{"event": 7}\n',
        b'{"event": "STOP", "data": []}\n',
        b'{"return": {}}\n',
        b'{"return": {}, "id": 3}\n',
        b'{"return": {}, "id": "1"}\n',
        b'{"return": {}, "id": true}\n',
        b'{"id": 1}\n',
        b'{"error": {"class": "GenericError"}, "id": 1}\n',
        b'{"error": "no", "id": 1}\n',
        b"[" * 3000 + b"\n",
        b"7" * 3000 + b"\n",
        b"x" * 5000,
        b'{"event": "' + b"x" * 5000 + b'"}\n',
    ],
)
def test_garbage_is_refused(garbage: bytes) -> None:
    connection = connected()
    connection.receive_data(GREETING)
    with pytest.raises(QmpProtocolError):
        connection.receive_data(garbage)


@pytest.mark.parametrize(
    "first",
    [
        EVENT,
        b'{"QMP": {"version": {}, "capabilities": []}}\n',
        b'{"QMP": {"version": {"qemu": {"major": "7"}}, "capabilities": []}}\n',
        b'{"QMP": []}\n',
    ],
)
def test_nothing_comes_before_the_greeting(first: bytes) -> None:
    with pytest.raises(QmpProtocolError):
        QmpConnection().receive_data(first)


@given(st.binary(max_size=300))
def test_random_bytes_are_a_protocol_error_or_nothing(data: bytes) -> None:
    connection = connected()
    connection.receive_data(GREETING)
    with suppress(QmpProtocolError):
        assert not connection.receive_data(data + b"\n")


def test_a_long_answer_passes_and_a_longer_one_does_not() -> None:
    connection = connected(max_line_bytes=2000)
    connection.receive_data(GREETING)
    fits = b'{"id": 1, "return": "' + b"x" * 1970 + b'"}\n'
    assert len(connection.receive_data(fits)) == 1
    with pytest.raises(QmpProtocolError, match="longer than 2000 bytes"):
        connection.receive_data(b"x" * 2001)


def test_an_error_without_an_id_is_about_what_could_not_be_read() -> None:
    connection = connected()
    connection.receive_data(GREETING)
    refused = b'{"error": {"class": "GenericError", "desc": "JSON parse error"}}\n'
    assert connection.receive_data(refused) == [Failed(None, "GenericError", "JSON parse error")]
