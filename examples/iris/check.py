"""Compares a result archive of this example with the values that are known.

Usage: python check.py RESULT.tar
"""

import json
import sys
import tarfile
from pathlib import Path


def main(archive: str) -> int:
    with tarfile.open(archive) as tar:
        member = tar.extractfile("results/summary.json")
        if member is None:
            print("the archive has no results/summary.json", file=sys.stderr)
            return 1
        computed = json.load(member)
    expected = json.loads(Path(__file__).with_name("expected.json").read_text())
    if computed != expected:
        print(f"computed {computed}\nexpected {expected}", file=sys.stderr)
        return 1
    print("Every figure is the one that Fisher's table is known for.")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
