"""The format is a promise: logs written once are read for ever, also by another reader."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import google_crc32c
import msgspec

from eventlog import LogOptions, open_log, read_log, verify_log
from tests.eventlog.samples import event

GOLDEN = Path(__file__).parent / "golden"
FORMAT_1 = GOLDEN / "format-1"


def _u(data: bytes, offset: int, size: int) -> int:
    return int.from_bytes(data[offset : offset + size], "little")


def _foreign_reader(directory: Path) -> Iterator[list[Any]]:
    """A reader made from docs/log-format.md alone; it shares nothing with the library."""
    chain = b""
    position = 1
    for path in sorted(directory.glob("*.log")):
        data = path.read_bytes()
        assert data[:8] == b"\x89EVLOG\r\n"
        assert _u(data, 508, 4) == google_crc32c.value(data[:508])
        assert (_u(data, 8, 2), _u(data, 40, 8)) == (1, position)
        chain = chain or hashlib.sha256(data[16:32]).digest()
        assert data[48:80] == chain
        offset = 512
        while 0 < (length := _u(data, offset, 4)) <= 1_048_576:
            head, padded = data[offset : offset + 32], length + -length % 8
            stored = data[offset + 32 : offset + 32 + padded]
            assert _u(head, 28, 4) == google_crc32c.value(head[:28])
            assert _u(head, 24, 4) == google_crc32c.value(head[:24] + chain + stored)
            body = bytes(byte ^ head[6 + at % 2] for at, byte in enumerate(stored))[:length]
            chain = hashlib.sha256(chain + body).digest()
            offset += 32 + padded + 40
            assert data[offset - 40 : offset] == chain + head[:4] + b"EFRM"
            events = msgspec.msgpack.decode(body)
            assert (len(events), position) == (_u(head, 4, 2), _u(head, 8, 8))
            yield from events
            position += len(events)
        if data[offset : offset + 8] == b"\x89EVEND\r\n":
            assert _u(data, offset + 16, 8) == position - 1
            assert data[offset + 40 : offset + 72] == chain
        else:
            assert not any(data[offset:])
    tip = (directory / "tip").read_bytes()
    assert (_u(tip, 32, 8), tip[40:72]) == (position - 1, chain)


def test_a_golden_log_gives_the_events_that_were_written() -> None:
    expected = json.loads((GOLDEN / "format-1.json").read_text())
    records = list(read_log(FORMAT_1))
    seen = [{**msgspec.structs.asdict(r), "payload": r.payload.hex()} for r in records]
    assert seen == expected
    assert [(one.first, one.last, one.ending.value) for one in verify_log(FORMAT_1)] == [
        (1, 4, "sealed"),
        (5, 6, "open"),
    ]


async def test_a_golden_log_can_be_continued(tmp_path: Path) -> None:
    directory = tmp_path / "log"
    shutil.copytree(FORMAT_1, directory)
    async with open_log(directory, LogOptions(segment_bytes=4096)) as log:
        assert (log.head, log.version("vm/a"), log.epoch) == (6, 4, 3)
        await log.append([event("next", "vm/a")], expected={"vm/a": 4})
    assert [record.position for record in read_log(directory)] == list(range(1, 8))


def test_a_reader_written_from_the_documentation_reads_golden_logs() -> None:
    events = [tuple(one) for one in _foreign_reader(FORMAT_1)]
    assert events == [msgspec.structs.astuple(record) for record in read_log(FORMAT_1)]


async def test_a_reader_written_from_the_documentation_reads_new_logs(tmp_path: Path) -> None:
    async with open_log(tmp_path, LogOptions(segment_bytes=4096)) as log:
        for n in range(30):
            await log.append([event(str(n), payload=bytes(n * 90)), event("b", "other")])
    events = list(_foreign_reader(tmp_path))
    raws = [msgspec.msgpack.encode(one) for one in events]
    assert raws == [record.raw for record in read_log(tmp_path)]
    assert len(events) == 60
