"""Bare grpclib with the same contract: it decodes a request, and encodes an answer as long.

The least that a service can do in the daemon's place. Nothing is checked, nothing is kept.
"""

import asyncio
from collections.abc import AsyncIterator

from chronovisor_api import v1
from grpclib.server import Server

from api_bench.child import heard, say
from api_bench.words import Serve, Serving


class Echo(v1.SupervisorBase):
    """Presents one VM with the manifest that it is given, and streams what it has."""

    def __init__(self, script: Serve) -> None:
        submitted = v1.SubmitComputationResponse.FromString(script.submitted)
        assert submitted.vm is not None
        self._vm = submitted.vm
        self._events = [v1.WatchEventsResponse.FromString(each) for each in script.events]

    async def submit_computation(
        self, message: v1.SubmitComputationRequest
    ) -> v1.SubmitComputationResponse:
        """Answer at once."""
        self._vm.manifest = message.manifest
        return v1.SubmitComputationResponse(vm=self._vm)

    async def watch_events(
        self, message: v1.WatchEventsRequest
    ) -> AsyncIterator[v1.WatchEventsResponse]:
        """Send what there is."""
        for event in self._events:
            yield event


async def serve(word: Serve) -> None:
    """Serve until the bench has no more to say."""
    server = Server([Echo(word)])
    await server.start(path=word.socket)
    say(Serving())
    await asyncio.to_thread(heard, Serve)


if __name__ == "__main__":
    first = heard(Serve)
    assert first is not None
    asyncio.run(serve(first))
