"""What a client of Chronovisor imports: messages, stubs and a way to connect.

It depends on nothing of the daemon. The contract itself, with a comment on every field, is in the
``.proto`` files; ``chronovisor_api.v1`` re-exports the Python made from them.

    import asyncio
    from chronovisor_api import connect, v1

    async def main() -> None:
        async with connect("unix:/var/lib/chronovisor/grpc.sock") as channel:
            supervisor = v1.SupervisorStub(channel)
            vm = await supervisor.get_vm(v1.GetVmRequest(vm_id="iris-1"))
            print(vm.phase.name)

    asyncio.run(main())
"""

from chronovisor_api import v1
from chronovisor_api.channel import MalformedTarget, connect

__all__ = ["MalformedTarget", "connect", "v1"]
