#!/usr/bin/env python3
"""The demo's computation: it opens a data set with a key that only a verified guest has.

The guest hands over its owner's secrets as files (docs/agent-protocol.md). Its Python has no AES:
the data set is sealed with a stream of HMAC-SHA-256 over a counter, and an HMAC over it all: that
is good for a demo only.
"""

import csv
import hashlib
import hmac
import os
import sys
from pathlib import Path
from statistics import fmean

KEY = "736869e5-84f0-4973-92ec-06879ce3da0b"
"""What a disk's key is called among secrets; `--secret luks-key:FILE` gives it."""
NONCE_BYTES = TAG_BYTES = BLOCK_BYTES = 32


def main() -> None:
    """Find the key, open the data set, compute, write."""
    key = released_key()
    sealed = Path(os.environ["CHRONOVISOR_DATASETS"], "patients.sealed").read_bytes()
    rows = list(csv.DictReader(opened(key, sealed).decode().splitlines()))
    mean = fmean(float(row["age"]) for row in rows)
    text = f"{len(rows)} patients, mean age {mean:.2f} years\n"
    Path(os.environ["CHRONOVISOR_RESULTS"], "report.txt").write_text(text)
    print("the data set was opened with the owner's secret")


def released_key() -> bytes:
    """Return what the owner released to this launch."""
    file = Path(os.environ["CHRONOVISOR_SECRETS"], KEY)
    if not file.exists():
        sys.exit("there is no key: nobody released this launch")
    return file.read_bytes()


def sealed(key: bytes, plain: bytes) -> bytes:
    """Return a nonce, the data, and what shows that nobody changed either."""
    nonce = os.urandom(NONCE_BYTES)
    body = nonce + encrypted(key, nonce, plain)
    return body + hmac.digest(derived(key, b"authenticate"), body, "sha256")


def opened(key: bytes, data: bytes) -> bytes:
    """Return the data in plain text; end where the key is another one."""
    body, tag = data[:-TAG_BYTES], data[-TAG_BYTES:]
    if not hmac.compare_digest(hmac.digest(derived(key, b"authenticate"), body, "sha256"), tag):
        sys.exit("the data set cannot be opened: the key is another one, or it was changed")
    return encrypted(key, body[:NONCE_BYTES], body[NONCE_BYTES:])


def encrypted(key: bytes, nonce: bytes, data: bytes) -> bytes:
    """Add a stream of HMACs over a counter, which encrypts as it decrypts."""
    secret = derived(key, b"encrypt")
    count = -(-len(data) // BLOCK_BYTES)
    blocks = (hmac.digest(secret, nonce + at.to_bytes(8, "big"), "sha256") for at in range(count))
    return bytes(a ^ b for a, b in zip(data, b"".join(blocks), strict=False))


def derived(key: bytes, purpose: bytes) -> bytes:
    """Return a key of its own for each purpose."""
    return hmac.digest(key, purpose, hashlib.sha256)


if __name__ == "__main__":
    main()
