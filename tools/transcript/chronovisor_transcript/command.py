"""The command line of `tools/replay-transcript`."""

import argparse
import signal
import sys
from pathlib import Path

import msgspec

from chronovisor_transcript.replay import NotReplayable, Verdict, replay
from supervisor.cli.exits import Failure

NOTHING_TO_REPLAY = 2
INTERRUPTED = 130


def main() -> int:
    """Replay one file; return the exit status."""
    arguments = _parse()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        verdict = replay(arguments.file)
    except KeyboardInterrupt:
        return INTERRUPTED
    except (NotReplayable, Failure, OSError) as error:
        print(f"replay-transcript: {error}", file=sys.stderr)
        return NOTHING_TO_REPLAY
    if arguments.json:
        print(msgspec.json.encode(verdict).decode())
    else:
        print("\n".join((*verdict.differences, _summary(verdict))))
    return 1 if verdict.differences else 0


def _summary(verdict: Verdict) -> str:
    what = "other decisions" if verdict.differences else "the same decisions"
    return f"{what}: {verdict.events} events, {verdict.orders} orders to QEMU and the agent"


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Replay a transcript against the real daemon on a simulated QEMU.",
        epilog="Exit status: 0 the same decisions, 1 others, 2 no transcript to replay.",
    )
    parser.add_argument("file", type=Path, help="what `chronovisor transcript ID --json` printed")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()
