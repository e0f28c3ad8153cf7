"""SIMULATED: how a dishonest or broken host behaves; one way at a time, chosen by a file."""

from enum import Enum
from pathlib import Path

TAMPER_FILE = "tamper"


class Tamper(Enum):
    """What goes wrong, by the name that `tools/demo-sev --tamper` takes."""

    NONE = "none"
    WRONG_MEASUREMENT = "wrong-measurement"
    REPLAYED_NONCE = "replayed-nonce"
    """The owner's session launches the right guest first, unseen; its measurement and nonce are
    told of another guest. The owner cannot know, and the secret opens in the first launch only."""
    BAD_CHAIN = "bad-chain"
    REFUSED_SECRET = "refused-secret"
    CRASH_BEFORE_MEASURE = "crash-before-measure"
    CRASH_AFTER_SECRET = "crash-after-secret"
    OTHER_COMMAND_LINE = "other-command-line"
    WEAK_POLICY = "weak-policy"
    """QEMU tells a policy that forbids nothing; the daemon refuses it, and asks no owner."""
    BYPASS = "bypass"
    LOST_ANSWER = "lost-answer"
    """The first secret goes in, and nobody hears of it: what a daemon's end between the two is."""


def read_tamper(platform: Path) -> Tamper:
    """Return what was chosen for a platform."""
    file = platform / TAMPER_FILE
    return Tamper(file.read_text().strip()) if file.exists() else Tamper.NONE


def choose_tamper(platform: Path, tamper: Tamper) -> None:
    """Make every launch on a platform from now on behave so."""
    file = platform / TAMPER_FILE
    file.write_text(f"{tamper.value}\n")
    file.chmod(0o644)
