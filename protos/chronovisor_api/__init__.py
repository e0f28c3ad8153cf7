"""What a client of Chronovisor imports: a client for asyncio, messages, stubs, a way to connect.

It depends on nothing of the daemon. The contract itself, with a comment on every field, is in the
``.proto`` files; ``chronovisor_api.v1`` re-exports the Python made from them.

    import asyncio
    from chronovisor_api import Client

    async def main() -> None:
        async with Client("unix:/var/lib/chronovisor/grpc.sock") as client:
            async for event in client.watch(vm_id="iris-1"):
                print(event.position, event.type)

    asyncio.run(main())
"""

from chronovisor_api import v1
from chronovisor_api.channel import MalformedTarget, connect, tls_context
from chronovisor_api.client import Client
from chronovisor_api.failures import Refused, Silence, Unreachable
from chronovisor_api.files import Transcript
from chronovisor_api.transfers import Damaged, Unreadable

__all__ = [
    "Client",
    "Damaged",
    "MalformedTarget",
    "Refused",
    "Silence",
    "Transcript",
    "Unreachable",
    "Unreadable",
    "connect",
    "tls_context",
    "v1",
]
