"""What the processes of the bench say to each other: one JSON object a line.

Times are those of the one monotonic clock that all processes of a host share, in seconds.
"""

import msgspec

EVENTS_PATH = "/v1/events"
ECHO_PATH = "/echo"
TOKEN = "the-token-of-a-server-that-lives-for-seconds"


class Submit(msgspec.Struct, frozen=True, tag=True):
    """To a caller: submit ``count`` computations, ``in_flight`` at once, each with a fresh key."""

    socket: str
    manifest: bytes
    count: int
    in_flight: int


class Watch(msgspec.Struct, frozen=True, tag=True):
    """To a caller: take ``count`` messages of WatchEvents from the beginning of the log on."""

    socket: str
    count: int


class Answered(msgspec.Struct, frozen=True):
    """Seconds that each call took, and all of them together; and the last answer."""

    each_s: list[float]
    all_s: float
    last: bytes


class Watched(msgspec.Struct, frozen=True):
    """The messages of a stream, and the seconds that they took."""

    messages: list[bytes]
    all_s: float


class Serve(msgspec.Struct, frozen=True):
    """To an echo: where to listen, what it answers but for the manifest, and what it streams."""

    socket: str
    submitted: bytes
    events: list[bytes]


class Serving(msgspec.Struct, frozen=True):
    """A server is ready; ``port`` is 0 for one on a Unix socket."""

    port: int = 0


class Burst(msgspec.Struct, frozen=True, tag=True):
    """To a publisher: as many events as fast as can be."""

    count: int


class Paced(msgspec.Struct, frozen=True, tag=True):
    """To a publisher: single events, with a pause after each."""

    count: int
    pause_s: float


class Published(msgspec.Struct, frozen=True):
    """When a burst began, or each of the paced events was handed over, and was durable."""

    at: list[float]
    durable: list[float]


class Connect(msgspec.Struct, frozen=True, tag=True):
    """To readers: become so many subscribers, of which the ``stalled`` never read."""

    port: int
    readers: int
    stalled: int = 0


class Take(msgspec.Struct, frozen=True, tag=True):
    """To readers: so many events each."""

    count: int


class RoundTrips(msgspec.Struct, frozen=True, tag=True):
    """To readers: send a frame to a server that sends it back, so many times."""

    port: int
    count: int


class Took(msgspec.Struct, frozen=True):
    """When each reader had each event, in the order of the log; or how long each trip took."""

    times: list[list[float]]


Calls = Submit | Watch
Publications = Burst | Paced
Readings = Connect | Take | RoundTrips
