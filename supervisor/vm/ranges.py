"""The least and the greatest value of every number of a manifest, and how its unit is spelled."""

from collections.abc import Callable

import msgspec

from supervisor.vm.spec import GIB, HOUR_MS, KIB, MIB, MINUTE_MS, SECOND_MS, Manifest

DAY_MS = 24 * HOUR_MS
STOP_GRACE_MOST_MS = 10 * MINUTE_MS
STOP_GRACE_TAKES = "0 s to 10 m"
MILLISECONDS = "milliseconds"


class Range(msgspec.Struct, frozen=True):
    """The least and the greatest value of one number of the manifest, which is in ``unit``."""

    field: str
    value: Callable[[Manifest], int]
    least: int
    greatest: int
    range: str
    unit: str = ""
    step: int = 1
    step_name: str = ""

    def takes_instead_of(self, value: int) -> str:
        """Return what the field takes, in the spelling of a manifest; empty if it takes that."""
        if not self.least <= value <= self.greatest:
            return self.range
        return f"a multiple of {self.step_name}" if value % self.step else ""


RANGES = (
    Range("vm.cpus", lambda m: m.vm.cpus, 1, 64, "1 to 64"),
    Range(
        "vm.memory_bytes",
        lambda m: m.vm.memory_bytes,
        64 * MIB,
        4096 * GIB,
        "64 MiB to 4 TiB",
        "bytes",
        MIB,
        "1 MiB",
    ),
    Range(
        "limits.ttl_ms",
        lambda m: m.limits.ttl_ms,
        SECOND_MS,
        30 * DAY_MS,
        "1 s to 30 d",
        MILLISECONDS,
    ),
    Range(
        "limits.launch_deadline_ms",
        lambda m: m.limits.launch_deadline_ms,
        SECOND_MS,
        HOUR_MS,
        "1 s to 1 h",
        MILLISECONDS,
    ),
    Range(
        "limits.stop_grace_ms",
        lambda m: m.limits.stop_grace_ms,
        0,
        STOP_GRACE_MOST_MS,
        STOP_GRACE_TAKES,
        MILLISECONDS,
    ),
    Range(
        "limits.result_bytes",
        lambda m: m.limits.result_bytes,
        KIB,
        64 * GIB,
        "1 KiB to 64 GiB",
        "bytes",
    ),
    Range(
        "limits.log_bytes",
        lambda m: m.limits.log_bytes,
        4 * KIB,
        GIB,
        "4 KiB to 1 GiB",
        "bytes",
    ),
    Range(
        "limits.inputs_deadline_ms",
        lambda m: m.limits.inputs_deadline_ms,
        SECOND_MS,
        30 * DAY_MS,
        "1 s to 30 d",
        MILLISECONDS,
    ),
    Range("restart.max_restarts", lambda m: m.restart.max_restarts, 1, 100, "1 to 100"),
    Range(
        "restart.period_ms",
        lambda m: m.restart.period_ms,
        10 * SECOND_MS,
        30 * DAY_MS,
        "10 s to 30 d",
        MILLISECONDS,
    ),
    Range(
        "restart.backoff_ms",
        lambda m: m.restart.backoff_ms,
        SECOND_MS // 10,
        HOUR_MS,
        "100 ms to 1 h",
        MILLISECONDS,
    ),
    Range(
        "restart.backoff_max_ms",
        lambda m: m.restart.backoff_max_ms,
        SECOND_MS // 10,
        DAY_MS,
        "100 ms to 1 d",
        MILLISECONDS,
    ),
)
"""Every number of a manifest that has a range."""


def range_of(field: str) -> Range:
    """Return what the field of this dotted path takes."""
    return next(each for each in RANGES if each.field == field)
