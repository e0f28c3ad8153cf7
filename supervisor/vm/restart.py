"""How often something may be restarted before that is no remedy any more.

The law and its words are OTP's: at most INTENSITY restarts within PERIOD. The two constants are
those of actors; a VM has its own in the manifest.
"""

from collections.abc import Sequence

INTENSITY = 3
PERIOD_MS = 60_000


def add_restart(
    earlier_ms: Sequence[int], now_ms: int, intensity: int = INTENSITY, period_ms: int = PERIOD_MS
) -> tuple[int, ...] | None:
    """Return the restarts that count from now on, or None when there were too many."""
    recent = (*(at for at in earlier_ms if at > now_ms - period_ms), now_ms)
    return recent if len(recent) <= intensity else None
