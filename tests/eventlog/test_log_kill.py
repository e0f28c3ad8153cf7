"""A writer killed at any instant: what it acknowledged is there, what follows is whole batches."""

import random
import subprocess
import sys
from pathlib import Path

from eventlog import read_log, verify_log

LIVES = 40
BATCH = 3

WRITER = f"""
import sys, trio
from pathlib import Path
from eventlog import LogOptions, NewEvent, open_log

def batch(n):
    first = n * {BATCH}
    return [
        NewEvent(stream="s", type="t.v1", payload=bytes(n * 97 % 900), event_id=str(first + i))
        for i in range({BATCH})
    ]

async def main():
    async with open_log(Path(sys.argv[1]), LogOptions(segment_bytes=4096)) as log:
        n = log.version("s") // {BATCH}
        while True:
            await log.append(batch(n), expected={{"s": n * {BATCH}}})
            n += 1
            print(log.version("s"), flush=True)

trio.run(main)
"""


def _kill_after(directory: Path, lines: int) -> int:
    """Run a writer, kill it once it has acknowledged some batches; returns the last it printed."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(directory)], stdout=subprocess.PIPE
    )
    with writer:
        assert writer.stdout is not None
        for _ in range(lines):
            acknowledged = writer.stdout.readline()
            assert acknowledged, "the writer could not go on after an earlier kill"
        writer.kill()
        rest = writer.stdout.read().splitlines(keepends=True)
    whole = [line for line in [acknowledged, *rest] if line.endswith(b"\n")]
    return int(whole[-1])


def test_a_writer_killed_again_and_again_loses_nothing_acknowledged(tmp_path: Path) -> None:
    random_lines = random.Random(20)
    for _ in range(LIVES):
        acknowledged = _kill_after(tmp_path, random_lines.randint(1, 12))
        list(verify_log(tmp_path))
        events = [record for record in read_log(tmp_path) if record.stream == "s"]
        assert acknowledged <= len(events)
        assert len(events) % BATCH == 0
        assert [record.event_id for record in events] == [str(n) for n in range(len(events))]
    assert len(list(verify_log(tmp_path))) >= LIVES
