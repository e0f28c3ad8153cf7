"""The moments of a launch in the order in which they come, and the measures between them."""

from collections.abc import Mapping
from enum import Enum

import msgspec


class Moment(Enum):
    """Something that both kinds of launch reach, or the supervised one alone."""

    CALLED = "submit called"
    ACCEPTED = "submit accepted"
    SPAWNING = "about to spawn QEMU"
    QMP_READY = "QMP ready"
    RUNNING = "guest runs"
    AGENT_READY = "agent ready"
    STARTED = "computation started"
    FINISHED = "computation finished"
    EXITED = "QEMU exited"
    RECORDED = "result recorded"
    SEEN = "end seen by the client"


Timeline = Mapping[Moment, float]
"""When each moment came, in seconds of one clock; only differences mean something."""


class LaunchFailed(Exception):
    """A launch went wrong, so that its times mean nothing."""


class Span(msgspec.Struct, frozen=True):
    """From one moment to another."""

    start: Moment
    end: Moment

    def seconds(self, timeline: Timeline) -> float:
        """Return how long it took."""
        return timeline[self.end] - timeline[self.start]


class Ratio(msgspec.Struct, frozen=True, tag_field="kind", tag="ratio"):
    """Goal: at most ``limit`` times as long as bare."""

    limit: float

    def reached(self, bare: float, supervised: float) -> bool:
        """Return whether two medians reach the goal."""
        return supervised <= self.limit * bare

    def compare(self, bare: float, supervised: float) -> str:
        """Return how two medians compare, in a few characters."""
        return f"{supervised / bare:.2f} x"

    def __str__(self) -> str:
        return f"<= {self.limit:g} x"


class Difference(msgspec.Struct, frozen=True, tag_field="kind", tag="difference"):
    """Goal: at most ``limit`` seconds more than bare."""

    limit: float

    def reached(self, bare: float, supervised: float) -> bool:
        """Return whether two medians reach the goal."""
        return supervised <= bare + self.limit

    def compare(self, bare: float, supervised: float) -> str:
        """Return how two medians compare, in a few characters."""
        return f"{(supervised - bare) * 1000:+.0f} ms"

    def __str__(self) -> str:
        return f"<= {self.limit * 1000:+.0f} ms"


class Measure(msgspec.Struct, frozen=True):
    """The same stretch of both kinds of launch, and how far apart they may be."""

    name: str
    title: str
    bare: Span
    supervised: Span
    goal: Ratio | Difference


MEASURES = (
    Measure(
        name="qmp_ready",
        title="spawn to QMP ready",
        bare=Span(Moment.SPAWNING, Moment.QMP_READY),
        supervised=Span(Moment.SPAWNING, Moment.QMP_READY),
        goal=Ratio(1.3),
    ),
    Measure(
        name="guest_running",
        title="submit to guest running",
        bare=Span(Moment.SPAWNING, Moment.RUNNING),
        supervised=Span(Moment.ACCEPTED, Moment.RUNNING),
        goal=Ratio(2.5),
    ),
    Measure(
        name="end_to_end",
        title="submit to result",
        bare=Span(Moment.SPAWNING, Moment.EXITED),
        supervised=Span(Moment.ACCEPTED, Moment.RECORDED),
        goal=Difference(0.3),
    ),
)

STEPS = tuple(Span(start, end) for start, end in zip(Moment, list(Moment)[1:], strict=False))
"""From each moment to the next: where the time of a supervised launch goes."""
