"""Facts of the inputs that providers bring; tags are in :mod:`.events`.

Who brought an input is the principal of the event's record.
"""

import msgspec

from supervisor.vm.inputs import InputName


class InputsAwaited(msgspec.Struct, frozen=True):
    """No launch begins before ``inputs`` came; the last of them must come by ``deadline_ms``."""

    inputs: tuple[InputName, ...]
    deadline_ms: int


class InputProvided(msgspec.Struct, frozen=True):
    """The bytes are an artifact of the store; ``size`` in bytes."""

    provider: str
    id: str
    sha256: str
    size: int


InputEvent = InputsAwaited | InputProvided
