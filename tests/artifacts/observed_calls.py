"""Standing beside a function of the operating system while the real one is called."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def just_before(function: Callable[..., object], act: Callable[[], None]) -> Iterator[None]:
    """Do ``act`` each time that this thread is about to call ``function``, one written in C."""

    def profile(_frame: FrameType, event: str, called: object) -> None:
        if event == "c_call" and called is function:
            act()

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(before)
