"""WebSocket: our log and API against bare trio-websocket, with the same messages to one client."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from chronovisor_bench.process_memory import memory_of

from api_bench.child import Child, started
from api_bench.words import (
    Burst,
    Connect,
    Paced,
    Publications,
    Published,
    RoundTrips,
    Serving,
    Take,
    Took,
)

WATCHERS = 100
STALLED = WATCHERS // 10


class Sizes(msgspec.Struct, frozen=True):
    """Events in one burst by number of subscribers; paced events, and frames there and back.

    ``filling`` events are more than the kernel keeps for a subscriber that does not read: 4 MiB
    (``net.ipv4.tcp_wmem``), of some 600 bytes each. Only then does one stall.
    """

    bursts: dict[int, int]
    filling: int
    paced: int
    pause_s: float
    round_trips: int


class FanOut(msgspec.Struct, frozen=True):
    """Messages per second that all subscribers got, and what each holds in memory."""

    per_s: float
    bytes_each: float


class Contestant:
    """How a server of this kind is started."""

    def __init__(self, module: str, directory: Path) -> None:
        self._module = module
        self._directory = directory

    def fan_out(
        self, subscribers: int, events: int, *, filling: int | None = None, stalled: int = 0
    ) -> FanOut:
        """Have a burst taken by so many; a first one, of ``filling`` events, is not timed.

        ``stalled`` more never read. Raises ChildFailed.
        """
        with self._serving() as (server, port), started("readers") as readers:
            before = memory_of(server.pid).resident
            readers.ask(Connect(port, subscribers, stalled), Took)
            _publish(server, readers, Burst(filling or events))
            published, took = _publish(server, readers, Burst(events))
            each = (memory_of(server.pid).resident - before) / (subscribers + stalled)
        elapsed = max(times[-1] for times in took.times) - published.at[0]
        return FanOut(subscribers * events / elapsed, each)

    def latencies(self, sizes: Sizes) -> tuple[list[float], list[float]]:
        """Return the seconds until each subscriber has each of single events, each sorted.

        Those since it was handed to the log, and those since it was durable.
        """
        with self._serving() as (server, port), started("readers") as readers:
            readers.ask(Connect(port, WATCHERS), Took)
            published, took = _publish(server, readers, Paced(sizes.paced, sizes.pause_s))
        return _since(published.at, took), _since(published.durable, took)

    def round_trips(self, sizes: Sizes) -> list[float]:
        """Return the seconds that a frame takes there and back. Sorted."""
        with self._serving() as (_, port), started("readers") as readers:
            return sorted(readers.ask(RoundTrips(port, sizes.round_trips), Took).times[0])

    @contextmanager
    def _serving(self) -> Iterator[tuple[Child, int]]:
        with (
            TemporaryDirectory(dir=self._directory) as name,
            started(self._module, name) as server,
        ):
            yield server, server.hear(Serving).port


def _since(moments: list[float], took: Took) -> list[float]:
    pairs = (zip(moments, times, strict=True) for times in took.times)
    return sorted(got - at for at, got in chain.from_iterable(pairs))


def _publish(server: Child, readers: Child, word: Publications) -> tuple[Published, Took]:
    readers.tell(Take(word.count))
    return server.ask(word, Published), readers.hear(Took)
