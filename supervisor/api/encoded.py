"""What subscribers are sent, encoded once for all of them.

Most of them are at the head of the log, and all of those want the same events at the same time.
"""

from collections import OrderedDict
from collections.abc import Callable

from eventlog import Record
from supervisor.api.subscription import Item

RECENT_BYTES = 8 * 1024 * 1024
"""As much as the log itself keeps in memory for those who follow it."""


class Encoded:
    """One API's form of each event, of which the latest are kept.

    What is not in the log, such as a marker, belongs to one subscriber and is made anew.
    """

    def __init__(self, encode: Callable[[Item], bytes]) -> None:
        self._encode = encode
        self._recent: OrderedDict[int, bytes] = OrderedDict()
        self._bytes = 0

    def __call__(self, item: Item) -> bytes:
        """Return an item as it is sent."""
        found = self._recent.get(item.position) if isinstance(item, Record) else self._encode(item)
        return self._made(item) if found is None else found

    def _made(self, item: Item) -> bytes:
        made = self._recent[item.position] = self._encode(item)
        self._bytes += len(made)
        while self._bytes > RECENT_BYTES:
            _, oldest = self._recent.popitem(last=False)
            self._bytes -= len(oldest)
        return made
