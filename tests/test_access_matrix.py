"""Role x call, role x route, role x path: every cell is asked of real servers, none is assumed.

The calls come from the handlers, the routes from the table of operations, so that what is added
later is in the matrix, too. What each cell must be is in docs/security.md, for people to read.
"""

from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import httpx
import msgspec
import pytest
import trio
from chronovisor_api import v1
from chronovisor_api.status_details import RetryInfo, detail
from grpclib.client import Channel
from grpclib.const import Cardinality, Status
from grpclib.exceptions import GRPCError

from eventlog import EventLog, open_log
from supervisor.access.rates import Rates
from supervisor.access.roles import PERMITTED, Action, Reach, Role
from supervisor.access.tokens import Grant, Grants, digest
from supervisor.api import asyncio_bridge, event_query
from supervisor.api.auth import Credentials, Door
from supervisor.api.console_websocket import CONSOLE_PATH
from supervisor.api.grpc_actions import ACTIONS
from supervisor.api.grpc_call import CallBounds
from supervisor.api.listeners import address_of, bind_tcp
from supervisor.api.readiness import Readiness
from supervisor.api.websocket import serve_websocket
from supervisor.caller import Caller
from supervisor.config import Address
from supervisor.consoles import Consoles
from supervisor.http_api.bounds import BOUNDS
from supervisor.http_api.operation import Operation
from supervisor.http_api.server import operations_of, serve_http
from supervisor.registry import Registry
from supervisor.telemetry.metrics import Metrics
from supervisor.vm.spec import Algorithm, Manifest
from tests.api.conftest import ask
from tests.api.memory_supervisor import DIGEST, MemorySupervisor
from tests.api.test_websocket import handshake
from tests.source_tree import ROOT

PATIENCE = 120
"""Seconds after which a test hangs."""
OWN_TOKEN = "the-token-of-the-daemon"
TENANT, ELSEWHERE = "red", "blue"
TOKENS = {role: f"the-token-of-the-{role.value}" for role in Role}
GRANTS = Grants(
    tuple(Grant(role.value, role, 0, TENANT, digest(token)) for role, token in TOKENS.items())
)
ACTIONS_OF_PATHS = {
    event_query.EVENTS_PATH: Action.WATCH_EVENTS,
    f"{CONSOLE_PATH}own": Action.ATTACH_CONSOLE,
}
MANIFEST = Manifest("a computation", Algorithm(DIGEST))
NAMING = msgspec.structs.replace(MANIFEST, result_consumers=("owner", "party"))
VMS = {
    "own": (Caller("owner", TENANT), MANIFEST),
    "naming": (Caller("somebody", TENANT), NAMING),
    "neighbour": (Caller("somebody", TENANT), MANIFEST),
    "foreign": (Caller("owner", ELSEWHERE), NAMING),
}
"""Whose VMs there are, and what their manifests say of who else has to do with them."""
SEEN = {
    Role.VIEWER: {"own", "naming", "neighbour"},
    Role.OPERATOR: {"own", "naming", "neighbour"},
    Role.OWNER: {"own", "naming"},
    Role.PARTY: {"naming"},
    Role.ADMIN: set(VMS),
}
STOPPED = SEEN | {Role.VIEWER: set(), Role.OWNER: {"own"}, Role.PARTY: set()}
FETCHED = SEEN | {Role.VIEWER: set(), Role.OPERATOR: set()}
ROLES = pytest.mark.parametrize("role", Role, ids=lambda role: role.value)


class Servers(msgspec.Struct, frozen=True):
    """The daemon's listeners over one supervisor in memory."""

    supervisor: MemorySupervisor
    grpc: Address
    http: Address
    websocket: Address

    def client(self, token: str | None) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.AsyncClient(base_url=f"http://{self.http}", headers=headers, timeout=PATIENCE)


async def serve(directory: Path, nursery: trio.Nursery, credentials: Credentials) -> Servers:
    """Start every listener, over VMs of several principals and tenants."""
    grpc, http, websocket = (bind_tcp(Address("127.0.0.1", 0)) for _ in range(3))
    log = await nursery.start(opened, directory / "log")
    supervisor, registry, readiness = MemorySupervisor(log, directory), Registry(), Readiness()
    for vm_id, (caller, manifest) in VMS.items():
        done = await supervisor.submit(manifest, key=vm_id, vm_id=vm_id, caller=caller)
        registry.add(done.state)
    consoles, door = Consoles(registry, directory / "vms", nursery), Door(credentials)
    for start in (
        partial(asyncio_bridge.serve_grpc, supervisor, unix=[], tcp=grpc, readiness=readiness),
        partial(serve_http, supervisor, tcp=http, readiness=readiness),
        partial(serve_websocket, log, consoles, tcp=websocket),
    ):
        await nursery.start(partial(start, door=door, metrics=Metrics()))
    return Servers(supervisor, *map(address_of, (grpc, http, websocket)))


async def opened(path: Path, *, task_status: trio.TaskStatus[EventLog]) -> None:
    """Hold a log open; give up after a while."""
    async with open_log(path) as log:
        task_status.started(log)
        with trio.fail_after(PATIENCE):
            await trio.sleep_forever()


@pytest.fixture
async def servers(tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[Servers]:
    yield await serve(tmp_path, nursery, Credentials(OWN_TOKEN, lambda: GRANTS))
    nursery.cancel_scope.cancel()


def permitted(role: Role) -> frozenset[Action]:
    return frozenset(PERMITTED[role])


class Raw:
    """A message that no call takes: who may call is told so, and nothing happens."""

    def SerializeToString(self) -> bytes:  # noqa: N802 - protobuf's own name
        return b"\xff"

    @classmethod
    def FromString(cls, _data: bytes) -> "Raw":  # noqa: N802
        return cls()


async def answers(servers: Servers, token: str | None) -> dict[str, Status]:
    """Return how each call there is is refused, for the role or for its message."""

    async def call_each(channel: Channel) -> dict[str, Status]:
        return {path: await begun(channel, path) for path in ACTIONS}

    async def begun(channel: Channel, path: str) -> Status:
        request = channel.request(path, Cardinality.UNARY_STREAM, Raw, Raw)
        try:
            async with request as stream:
                await stream.send_message(Raw(), end=True)
                await stream.recv_initial_metadata()
        except GRPCError as error:
            return error.status
        raise AssertionError(f"{path} took a message of no meaning")

    return await ask(str(servers.grpc), token, call_each)


async def test_every_call_has_its_action(servers: Servers) -> None:
    handlers = asyncio_bridge._handlers(servers.supervisor, Readiness(), CallBounds())
    assert set(handlers) == set(ACTIONS)


@ROLES
async def test_each_call_of_grpc_is_for_the_roles_of_the_table(
    servers: Servers, role: Role
) -> None:
    found = await answers(servers, TOKENS[role])
    refused = {path for path, status in found.items() if status is Status.PERMISSION_DENIED}
    assert refused == {path for path in ACTIONS if ACTIONS[path] not in permitted(role)}
    assert set(found.values()) <= {Status.PERMISSION_DENIED, Status.INVALID_ARGUMENT}


async def test_no_call_of_grpc_is_for_strangers(servers: Servers) -> None:
    for token in (None, TOKENS[Role.ADMIN][:-1]):
        assert set((await answers(servers, token)).values()) == {Status.UNAUTHENTICATED}


def operations(servers: Servers) -> tuple[Operation, ...]:
    return operations_of(servers.supervisor, Readiness(), Metrics(), BOUNDS)


async def asked(client: httpx.AsyncClient, operation: Operation) -> int:
    """Return the status with which an operation begins to be answered."""
    path = operation.path.format(vm_id="nobody", provider="p", id="i", sha256="0" * 64)
    async with client.stream(operation.method, path) as response:
        if response.status_code == 403:
            problem = msgspec.json.decode(await response.aread())
            assert "that takes the role" in problem["detail"]
        return response.status_code


@ROLES
async def test_each_route_is_for_the_roles_of_the_table(servers: Servers, role: Role) -> None:
    async with servers.client(TOKENS[role]) as client:
        found = {each.name: await asked(client, each) for each in operations(servers)}
    refused = {name for name, status in found.items() if status == 403}
    denied = {each.name for each in operations(servers) if each.action not in permitted(role)}
    assert refused == denied
    assert 401 not in found.values()


async def test_routes_are_for_strangers_only_where_they_tell_nothing(servers: Servers) -> None:
    async with servers.client(None) as client:
        found = {each.name: await asked(client, each) for each in operations(servers)}
    assert {name for name, status in found.items() if status != 401} == {
        "healthz",
        "readyz",
        "describe",
    }


async def upgraded(servers: Servers, target: str, token: str | None) -> int:
    """Return the status that a request for a WebSocket is answered with."""
    address = servers.websocket
    headers = {"authorization": f"Bearer {token}"} if token else {}
    async with await trio.open_tcp_stream(address.host, address.port) as stream:
        await stream.send_all(handshake(str(address), target, headers))
        return int((await stream.receive_some()).split()[1])


@ROLES
async def test_each_path_of_websocket_is_for_the_roles_of_the_table(
    servers: Servers, role: Role
) -> None:
    found = {path: await upgraded(servers, path, TOKENS[role]) for path in ACTIONS_OF_PATHS}
    refused = {path for path, status in found.items() if status == 403}
    denied = {path for path, action in ACTIONS_OF_PATHS.items() if action not in permitted(role)}
    assert refused == denied
    assert 401 not in found.values()


async def test_no_path_of_websocket_is_for_strangers(servers: Servers) -> None:
    assert {await upgraded(servers, path, None) for path in ACTIONS_OF_PATHS} == {401}


@ROLES
async def test_a_vm_out_of_reach_is_not_there(servers: Servers, role: Role) -> None:
    async with servers.client(TOKENS[role]) as client:
        listed = (await client.get("/v1/vms")).json()["vms"]
        got = {vm: (await client.get(f"/v1/vms/{vm}")).status_code for vm in VMS}
        stopped = {vm: (await client.post(f"/v1/vms/{vm}/stop")).status_code for vm in VMS}
    assert {vm["vm_id"] for vm in listed} == SEEN[role]
    assert got == {vm: 200 if vm in SEEN[role] else 404 for vm in VMS}
    unseen = 404 if Action.STOP in permitted(role) else 403
    assert stopped == {vm: 200 if vm in STOPPED[role] else unseen for vm in VMS}

    async def listing(channel: Channel) -> set[str]:
        return {vm.vm_id for vm in (await v1.SupervisorStub(channel).list_vms(_ALL)).vms}

    assert await ask(str(servers.grpc), TOKENS[role], listing) == SEEN[role]


_ALL = v1.ListVmsRequest()


@ROLES
async def test_a_result_is_for_its_submitter_its_consumers_and_admins(
    servers: Servers, role: Role
) -> None:
    for vm_id in VMS:
        servers.supervisor.finish(vm_id, b"archive")
    async with servers.client(TOKENS[role]) as client:
        found = {vm: (await client.get(f"/v1/vms/{vm}/result")).status_code for vm in VMS}
    fetched = {vm for vm, status in found.items() if status == 200}
    # Who is admin still is no consumer that a manifest names.
    assert fetched == FETCHED[role] - ({"naming", "foreign"} if role is Role.ADMIN else set())


@ROLES
async def test_consoles_out_of_reach_are_not_there(servers: Servers, role: Role) -> None:
    token = TOKENS[role]
    found = {vm: await upgraded(servers, f"{CONSOLE_PATH}{vm}", token) for vm in VMS}
    # These VMs had no launch, of which those hear who may look.
    unseen = 404 if Action.ATTACH_CONSOLE in permitted(role) else 403
    assert found == {vm: 400 if vm in STOPPED[role] else unseen for vm in VMS}


@ROLES
async def test_events_are_those_of_the_vms_within_reach(servers: Servers, role: Role) -> None:
    log = servers.supervisor.log
    for vm_id, (caller, _) in VMS.items():
        said = servers.supervisor.event(f"vm/{vm_id}", "vm.said.v1", {})
        await log.append([msgspec.structs.replace(said, tenant=caller.tenant, principal="")])
    after = log.head - len(VMS)

    async def watched(channel: Channel) -> set[str]:
        watch = v1.SupervisorStub(channel).watch_events(v1.WatchEventsRequest(after=after))
        streams: set[str] = set()
        async for message in watch:
            if message.event is None:
                break
            streams.add(message.event.stream)
        return streams

    assert await ask(str(servers.grpc), TOKENS[role], watched) == {f"vm/{vm}" for vm in SEEN[role]}


async def test_a_party_provides_its_own_inputs_only(servers: Servers) -> None:
    awaiting = Manifest("a", Algorithm(provider="party"), result_consumers=("party",))
    caller = Caller("somebody", TENANT)
    await servers.supervisor.submit(awaiting, key="w", vm_id="awaiting", caller=caller)
    async with servers.client(TOKENS[Role.PARTY]) as client:
        path = "/v1/vms/awaiting/inputs/{}/algorithm"
        others = await client.put(path.format("Alice"), content=b"x")
        own = await client.put(path.format("party"), content=b"x")
    assert (others.status_code, own.status_code) == (403, 200)


async def test_a_provider_is_no_consumer(servers: Servers) -> None:
    awaiting = Manifest("a", Algorithm(provider="party"))
    caller = Caller("somebody", TENANT)
    await servers.supervisor.submit(awaiting, key="w", vm_id="awaiting", caller=caller)
    servers.supervisor.finish("awaiting", b"archive")
    async with servers.client(TOKENS[Role.PARTY]) as client:
        assert (await client.get("/v1/vms/awaiting/result")).status_code == 403


async def test_a_key_of_another_principal_tells_nothing(servers: Servers) -> None:
    document = msgspec.json.encode(MANIFEST)
    async with servers.client(TOKENS[Role.OWNER]) as client:
        headers = {"Idempotency-Key": "neighbour", "Content-Type": "application/json"}
        taken = await client.post("/v1/computations", content=document, headers=headers)
    assert (taken.status_code, "vm_id" in taken.text) == (409, False)


async def test_who_asks_too_often_is_told_when_to_ask_again(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    now_s = 1_700_000_000.0
    credentials = Credentials(OWN_TOKEN, lambda: GRANTS, Rates(1), lambda: now_s)
    servers = await serve(tmp_path, nursery, credentials)
    async with servers.client(TOKENS[Role.VIEWER]) as client:
        answers = [await client.get("/v1/vms") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[2].headers["Retry-After"] == "1"
    assert await upgraded(servers, event_query.EVENTS_PATH, TOKENS[Role.VIEWER]) == 429

    async def refused(channel: Channel) -> GRPCError:
        with pytest.raises(GRPCError) as error:
            await v1.SupervisorStub(channel).list_vms(_ALL)
        return error.value

    error = await ask(str(servers.grpc), TOKENS[Role.VIEWER], refused)
    assert error.status is Status.RESOURCE_EXHAUSTED
    assert detail(error, RetryInfo) == RetryInfo(timedelta(seconds=1))
    async with servers.client(TOKENS[Role.OWNER]) as client:
        assert (await client.get("/v1/vms")).status_code == 200
    nursery.cancel_scope.cancel()


def test_the_page_has_the_table() -> None:
    mark = {Reach.NOTHING: "", Reach.EVERYTHING: "all"} | {
        reach: reach.value for reach in (Reach.OWN, Reach.CONCERNED, Reach.TENANT)
    }
    lines = [
        f"| {action.value} | "
        + " | ".join(mark[PERMITTED[role].get(action, Reach.NOTHING)] for role in Role)
        + " |"
        for action in Action
    ]
    page = (ROOT / "docs" / "security.md").read_text()
    assert "\n".join(lines).replace("  ", " ") in page.replace("  ", " ")
