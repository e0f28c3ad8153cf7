"""What a guest sends, line by line: taken, ignored, forgiven once, or the end of the talk."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.host import agent_protocol as protocol
from supervisor.host.agent_protocol import (
    LINE_BYTES,
    AgentMessage,
    AgentProtocolError,
    Finished,
    LineReader,
    Log,
    Progress,
    Ready,
    Started,
)

LAUNCH = 3


def line(**fields: object) -> bytes:
    return json.dumps({"v": 1, "launch": LAUNCH, "seq": 1, **fields}).encode() + b"\n"


READY = line(type="ready")
TALK: list[tuple[bytes, AgentMessage]] = [
    (READY, Ready(1)),
    (line(type="started", seq=2), Started(2)),
    (
        line(type="progress", seq=3, fraction=0.25, message="50 rows"),
        Progress(3, 0.25, "50 rows"),
    ),
    (line(type="progress", seq=4, fraction=1, message=""), Progress(4, 1.0, "")),
    (line(type="log", seq=5, stream="stdout", line="a\tb"), Log(5, "stdout", "a\tb")),
    (
        line(type="finished", seq=6, exit_code=0, length=4096, error="", message="", more=[1]),
        Finished(6, 0, 4096),
    ),
]


def reader() -> LineReader:
    """Return a reader whose first line, which would be forgiven, has passed."""
    lines = LineReader(LAUNCH)
    lines.receive_data(READY)
    return lines


@given(st.lists(st.integers(0, sum(len(data) for data, _ in TALK)), max_size=20))
def test_messages_are_the_same_however_the_bytes_are_cut(cuts: list[int]) -> None:
    data = b"".join(data for data, _ in TALK)
    lines, heard = LineReader(LAUNCH), []
    edges = [0, *sorted(cuts), len(data)]
    for index, start in enumerate(edges[:-1]):
        heard += lines.receive_data(data[start : edges[index + 1]])
    assert heard == [message for _, message in TALK]


@pytest.mark.parametrize(
    "ignored",
    [
        b"\n",
        b"  \r\n",
        line(type="ready", launch=2),
        line(type="ready", launch=0),
        line(type="weather", rain=True),
        line(type="ready", v=2),
        b'{"v":2}\n',
        b"{}\n",
    ],
)
def test_what_is_not_for_us_is_ignored(ignored: bytes) -> None:
    assert reader().receive_data(ignored + READY) == [Ready(1)]


def test_a_guest_that_could_not_read_its_launch_may_finish() -> None:
    finished = line(type="finished", launch=0, exit_code=127, length=0, error="bad-inputs")
    assert reader().receive_data(finished) == [Finished(1, 127, 0, "bad-inputs")]


BROKEN = [
    b"\x00\xff\xfe\x80\n",
    b"hello\n",
    b"[]\n",
    b'"ready"\n',
    READY[5:],
    b"{" * 4000 + b"\n",
    line(type="ready", seq="1"),
    line(type="ready", seq=-1),
    line(type="ready", seq=2**63),
    line(type="ready", seq=True),
    line(type="ready", v="1"),
    line(type=7),
    line(type="progress", fraction=1.5, message=""),
    line(type="progress", fraction=-0.1, message=""),
    line(type="progress", message=""),
    b'{"v":1,"launch":3,"seq":1,"type":"progress","fraction":NaN,"message":""}\n',
    b'{"v":1,"launch":3,"seq":1,"type":"progress","fraction":1e999,"message":""}\n',
    line(type="progress", fraction=0.5, message="?").replace(b"?", b"\xff"),
    b'{"v":1,"launch":3,"seq":1,"type":"log","stream":"stdout","line":"\\ud800"}\n',
    line(type="log", stream="stdin", line=""),
    line(type="log", stream="stdout", line=["x"]),
    line(type="finished", exit_code=256, length=0),
    line(type="finished", exit_code=-1, length=0),
    line(type="finished", exit_code=0, length=-1),
    line(type="finished", exit_code=0, length=10**30),
    line(type="finished", length=0),
]


@pytest.mark.parametrize("broken", BROKEN)
def test_anything_else_breaks_the_protocol(broken: bytes) -> None:
    with pytest.raises(AgentProtocolError):
        reader().receive_data(broken)


@pytest.mark.parametrize("broken", BROKEN)
def test_only_the_first_line_of_a_connection_may_be_a_fragment(broken: bytes) -> None:
    lines = LineReader(LAUNCH)
    assert lines.receive_data(b"\n" + broken + READY) == [Ready(1)]
    with pytest.raises(AgentProtocolError):
        lines.receive_data(broken)


def test_a_reset_may_leave_a_fragment() -> None:
    lines = reader()
    lines.receive_data(READY[:20])
    lines.expect_fragment()
    assert lines.receive_data(READY + READY) == [Ready(1)]


@pytest.mark.parametrize("end", [b"", b"\n"], ids=["unended", "ended"])
def test_a_line_has_a_bound_even_when_it_is_forgiven(end: bytes) -> None:
    with pytest.raises(AgentProtocolError, match=f"longer than {LINE_BYTES} bytes"):
        LineReader(LAUNCH).receive_data(b"x" * LINE_BYTES + end)


def test_the_longest_line_passes() -> None:
    empty = line(type="log", stream="stdout", line="")
    longest = line(type="log", stream="stdout", line="x" * (LINE_BYTES - len(empty)))
    assert len(longest) == LINE_BYTES
    assert len(reader().receive_data(longest)) == 1


@given(st.binary(max_size=LINE_BYTES * 2))
def test_random_bytes_give_nothing_or_the_end_of_the_talk(data: bytes) -> None:
    lines = reader()
    try:
        heard = lines.receive_data(data)
    except AgentProtocolError:
        heard = []
    assert heard == []


def test_what_the_host_says_is_one_flat_line_each() -> None:
    assert protocol.start(3) == b'{"v":1,"type":"start","launch":3}\n'
    assert protocol.stop(3) == b'{"v":1,"type":"stop","launch":3}\n'
    assert protocol.acknowledge(3, 7) == b'{"v":1,"type":"ack","launch":3,"seq":7}\n'
