"""A real log, a small supervisor over it, and the HTTP server on loopback with a real client."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import trio

from eventlog import open_log
from supervisor.api.auth import Credentials, Door
from supervisor.api.listeners import address_of, bind_tcp
from supervisor.api.readiness import Readiness
from supervisor.config import Address
from supervisor.http_api.bounds import Bounds
from supervisor.http_api.server import serve_http
from supervisor.telemetry.metrics import Metrics
from supervisor.vm.spec import Algorithm, Manifest
from tests.api.memory_supervisor import DIGEST, MemorySupervisor

TOKEN = "token-of-this-test-0123456789"
DOOR = Door(Credentials(TOKEN))
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PATIENCE = 240
"""Seconds after which a test hangs; everything here takes milliseconds, or hundreds of syncs."""

MANIFEST = Manifest("a computation", Algorithm(DIGEST))
Json = dict[str, Any]


class Served(msgspec.Struct, frozen=True):
    """A server, and what it was given."""

    address: Address
    metrics: Metrics
    readiness: Readiness

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def client(self, headers: dict[str, str] = BEARER) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=PATIENCE)


Serve = Callable[[Bounds], Awaitable[Served]]


@pytest.fixture(name="supervisor")
async def _supervisor(tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[MemorySupervisor]:
    nursery.start_soon(_run_out_of_patience)
    async with open_log(tmp_path / "log") as log:
        yield MemorySupervisor(log, tmp_path)


async def _run_out_of_patience() -> None:
    with trio.fail_after(PATIENCE):
        await trio.sleep_forever()


@pytest.fixture(name="serve")
def _serve(supervisor: MemorySupervisor, nursery: trio.Nursery) -> Serve:
    async def serve(bounds: Bounds) -> Served:
        tcp = bind_tcp(Address("127.0.0.1", 0))
        served = Served(address_of(tcp), Metrics(), Readiness())
        server = partial(serve_http, supervisor, tcp=tcp, door=DOOR, bounds=bounds)
        await nursery.start(partial(server, readiness=served.readiness, metrics=served.metrics))
        return served

    return serve


@pytest.fixture(name="served")
async def _served(serve: Serve) -> Served:
    return await serve(Bounds())


@pytest.fixture(name="client")
async def _client(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with served.client() as client:
        yield client


async def submit(
    client: httpx.AsyncClient, manifest: object = MANIFEST, *, key: str = "a key"
) -> httpx.Response:
    """Send a computation."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    content = manifest if isinstance(manifest, bytes) else msgspec.json.encode(manifest)
    return await client.post("/v1/computations", content=content, headers=headers)


def violations(response: httpx.Response) -> dict[str, str]:
    """Return what a problem says of each field."""
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == response.status_code
    return {wrong["field"]: wrong["description"] for wrong in problem["violations"]}
