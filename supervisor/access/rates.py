"""How often one principal may ask: a token bucket for each. Pure; the time is passed in."""

from collections import OrderedDict

from supervisor.vm.commands import CommandDenied, DenyReason

BURST_S = 2.0
"""What may come at once: as much as in so many seconds. Clients begin with some calls in a row."""
PRINCIPALS = 2048
"""Of whom the latest requests are remembered; a bucket that nobody asks of is full again."""


class Rates:
    """Counts requests; ``per_second`` None is no limit."""

    def __init__(self, per_second: int | None) -> None:
        self._per_second = per_second
        self._buckets: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    def count(self, tenant: str, principal: str, now_s: float) -> None:
        """Count one request. Raises CommandDenied where it is one too many."""
        if self._per_second is None:
            return
        most = self._per_second * BURST_S
        left, counted_s = self._buckets.pop((tenant, principal), (most, now_s))
        passed_s = max(now_s - counted_s, 0)  # a clock may be set back
        left = min(left + passed_s * self._per_second, most)
        self._buckets[tenant, principal] = (left - 1 if left >= 1 else left, now_s)
        if len(self._buckets) > PRINCIPALS:
            self._buckets.popitem(last=False)
        if left < 1:
            detail = f"{principal} asks more than {self._per_second} times a second; ask later"
            raise CommandDenied(DenyReason.TOO_MANY_REQUESTS, detail)
