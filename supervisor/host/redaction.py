"""Secrets in QMP messages: found by the names that QEMU gives them, and kept out of every file.

What is named so in ``qapi/misc-target.json`` (sev-inject-launch-secret) and ``qapi/crypto.json``
(the objects of type ``secret``), and whatever else is named like a secret.
"""

import re

REDACTED = "[redacted]"
SECRET_NAME = re.compile(r"secret|password|passwd|passphrase|packet-header|private-key", re.I)
SECRET_TYPE = "secret"
"""Of objects (``qom-type``): "secret" and "secret_keyring" hold theirs in ``data``."""


def redacted(value: object) -> object:
    """Return a message in which nothing is left of any secret."""
    if isinstance(value, list):
        return [redacted(item) for item in value]
    if not isinstance(value, dict):
        return value
    holds_secret = str(value.get("qom-type", "")).startswith(SECRET_TYPE)
    return {
        name: REDACTED if _is_secret(name, holds_secret=holds_secret) else redacted(item)
        for name, item in value.items()
    }


def _is_secret(name: str, *, holds_secret: bool) -> bool:
    return SECRET_NAME.search(name) is not None or (holds_secret and name == "data")
