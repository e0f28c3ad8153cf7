"""Who speaks for the guest: the agent of the reference guest, or one that the guest brings along.

Of an agent of its own the supervisor knows only how it is found: it is the guest's whole business
what the agent says, and to whom.
"""

import msgspec

AGENT_TCP_PORT = 7002
"""Where the agents of older managers listen."""


class ReferenceAgent(msgspec.Struct, frozen=True, tag="reference", tag_field="kind"):
    """The agent of the reference guest, on its virtio-serial port."""


class PortReady(msgspec.Struct, frozen=True, tag="port", tag_field="kind"):
    """The guest is ready once the agent's port takes a connection."""


class ConsoleReady(msgspec.Struct, frozen=True, tag="console", tag_field="kind"):
    """The guest is ready once a whole line of its console matches the glob pattern ``line``."""

    line: str


Ready = PortReady | ConsoleReady


class OwnAgent(msgspec.Struct, frozen=True, tag="own", tag_field="kind"):
    """An agent that the guest brings along; ``port`` is forwarded, where there is one."""

    port: int | None = AGENT_TCP_PORT
    ready: Ready = PortReady()


Agent = ReferenceAgent | OwnAgent
