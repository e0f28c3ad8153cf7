"""The older manager's clients, against a real daemon: curl for its HTTP, its contract for its gRPC.

The whole of a computation of several parties: it is asked for in each of its three forms, each
party brings its own, the guest runs, and its result is fetched.
"""

import asyncio
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import socket
import subprocess
import tarfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import pytest
from chronovisor_api import cocos, connect
from chronovisor_guest.cpio import archive, file
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from tests.cocos.documents import EARLIER, LATER, as_byte_values
from tests.e2e.daemon_process import COMMAND_S, Daemon, Json, running
from tests.e2e.forwarded_ports import PORTS
from tests.e2e.own_guest import INIT, MODULES, write_layer

pytestmark = pytest.mark.guest

T = TypeVar("T")

GUIDE = Path(__file__).parents[2] / "docs" / "cocos.md"
EXAMPLES: list[str] = re.findall(r"```bash\n(.*?)```", GUIDE.read_text(), re.DOTALL)


class Curl:
    """A person with curl and the token."""

    def __init__(self, daemon: Daemon, directory: Path) -> None:
        address = daemon.ready["http"]
        self._url = f"http://{address['host']}:{address['port']}"
        self._token = (daemon.state_dir / "token").read_text().strip()
        self._directory = directory

    def ask(
        self, path: str, *options: str | Path, content: bytes | None = None
    ) -> tuple[int, bytes]:
        """Return the status and the body of an answer."""
        answer = self._directory / "answer"
        command = ["curl", "-sS", "-o", str(answer), "-w", "%{http_code}", "--max-time", "60"]
        command += ["-H", f"Authorization: Bearer {self._token}", *map(str, options)]
        if content is not None:
            command += ["--data-binary", "@-"]
        done = subprocess.run(
            [*command, self._url + path],
            input=content,
            capture_output=True,
            timeout=COMMAND_S,
            check=True,
        )
        return int(done.stdout), answer.read_bytes()

    def run(self, document: bytes) -> tuple[int, Json]:
        status, body = self.ask("/run", "-H", "Content-Type: application/json", content=document)
        return status, json.loads(body)

    def provide(self, vm_id: str, provider: str, name: str, content: bytes) -> int:
        path = f"/v1/vms/{vm_id}/inputs/{quote(provider)}/{quote(name)}"
        header = "Content-Type: application/octet-stream"
        return self.ask(path, "-X", "PUT", "-H", header, content=content)[0]


@pytest.fixture
def curl(daemon: Daemon, tmp_path: Path) -> Curl:
    return Curl(daemon, tmp_path)


def shell(script: str, directory: Path, **variables: str) -> str:
    command = ["bash", "-euo", "pipefail", "-c", script]
    environment = {**os.environ, **variables}
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=COMMAND_S
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_computation_of_two_parties_runs_by_the_commands_of_the_guide(
    daemon: Daemon, tmp_path: Path
) -> None:
    address = daemon.ready["http"]
    url = f"http://{address['host']}:{address['port']}"
    said = shell(EXAMPLES[0], tmp_path, CHRONOVISOR_HTTP=url, **daemon.environment)
    assert said == '{"id":"rain-1"}3\n'


JOIN = b"#!/bin/sh\ncat datasets/* >results/joined\n"
LATER_PARTIES = {
    ("AlgorithmProvider1", "Algorithm1"): JOIN,
    ("Provider1", "Dataset1"): b"first\n",
    ("Provider2", "Dataset2"): b"second\n",
}
EARLIER_PARTIES = {
    ("AlgoAI Research Labs", "Support Vector Machines"): JOIN,
    ("Machinery Data Systems", "Machine Health Records"): b"first\n",
    ("SensorTech Solutions", "Sensor Data Logs"): b"second\n",
}


@pytest.mark.parametrize(
    ("document", "parties"),
    [
        (LATER, LATER_PARTIES),
        (EARLIER, EARLIER_PARTIES),
        (as_byte_values(LATER), LATER_PARTIES),
    ],
    ids=["later shape", "earlier shape", "array of byte values"],
)
def test_each_form_runs_when_each_party_has_brought_its_own_and_has_a_result(
    daemon: Daemon, curl: Curl, document: bytes, parties: dict[tuple[str, str], bytes]
) -> None:
    status, answer = curl.run(document)
    assert status == 200
    vm_id = answer["id"]
    for (provider, name), content in parties.items():
        assert daemon.json("show", vm_id)["phase"] == "awaiting-inputs"
        assert curl.provide(vm_id, provider, name, content) == 200
    daemon.wait_for(vm_id, "vm.stopped.v1")
    status, archived = curl.ask(f"/v1/vms/{vm_id}/result")
    assert status == 200
    with tarfile.open(fileobj=io.BytesIO(archived)) as result:
        joined = result.extractfile("results/joined")
        assert joined is not None
        assert joined.read() == b"first\nsecond\n"


def test_the_later_shape_waits_for_each_of_its_parties(daemon: Daemon, curl: Curl) -> None:
    assert curl.run(LATER) == (200, {"id": "123"})
    assert curl.run(as_byte_values(LATER)) == (200, {"id": "123"})
    other = LATER.replace(b"Dataset2", b"Dataset3")
    status, refused = curl.run(other)
    assert (status, refused["reason"]) == (409, "idempotency-key-reused")
    assert curl.provide("123", "Provider1", "Dataset1", b"a\n") == 200
    assert curl.provide("123", "AlgorithmProvider1", "Algorithm1", b"#!/bin/sh\n") == 200
    assert curl.provide("123", "Provider2", "Dataset9", b"c\n") == 404
    vm = daemon.json("show", "123")
    assert (vm["phase"], vm["name"]) == ("awaiting-inputs", "Sample Computation")


def test_the_earlier_shape_waits_for_each_of_its_names(daemon: Daemon, curl: Curl) -> None:
    status, answer = curl.run(EARLIER)
    vm_id = "00acfe9d-5e1b-4aec-82c0-80ab8ed5ec0b"
    assert (status, answer) == (200, {"id": vm_id})
    assert curl.provide(vm_id, "SensorTech Solutions", "Sensor Data Logs", b"a\n") == 200
    assert curl.provide(vm_id, "Somebody Else", "Machine Health Records", b"b\n") == 404
    assert daemon.json("show", vm_id)["phase"] == "awaiting-inputs"
    provided = [each for each in daemon.events("--vm", vm_id) if "input-provided" in each["type"]]
    assert [each["data"]["sha256"] for each in provided] == [hashlib.sha256(b"a\n").hexdigest()]


def test_a_bad_computation_is_told_what_is_wrong(curl: Curl) -> None:
    status, refused = curl.run(LATER.replace(b'"ttl":3600', b'"ttl":0'))
    assert (status, [each["field"] for each in refused["violations"]]) == (400, ["ttl"])


@pytest.fixture(scope="module")
def catalogue(guest_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An operator's directory with the images of a guest whose agent listens."""
    directory = tmp_path_factory.mktemp("catalogue")
    shutil.copy(guest_dir / "vmlinuz", directory / "bzImage")
    write_layer(directory / "own.cpio", guest_dir)
    # The command line is the host's alone, so this one listens whatever it says.
    init = INIT.replace("own=listen", "console=ttyS0").replace("MODULES", " ".join(MODULES))
    layers = [
        (guest_dir / "base.cpio").read_bytes(),
        (directory / "own.cpio").read_bytes(),
        b"".join(archive([file("init", init.encode(), executable=True)])),
    ]
    packed = gzip.compress(b"".join(layers), compresslevel=1)
    (directory / "rootfs.cpio.gz").write_bytes(packed)
    shell(EXAMPLES[1], directory, CHRONOVISOR_CATALOGUE=str(directory))
    return directory


@pytest.fixture
def machines(stopped_daemon: Daemon, catalogue: Path) -> Iterator[Daemon]:
    stopped_daemon.catalogue = catalogue
    with running(stopped_daemon, *PORTS) as daemon:
        yield daemon


def ask(daemon: Daemon, body: Callable[[cocos.ManagerServiceStub], Awaitable[T]]) -> T:
    async def client() -> T:
        async with connect(f"unix:{daemon.ready['unix']}") as channel:
            return await body(cocos.ManagerServiceStub(channel))

    return asyncio.run(client())


def refusal(
    daemon: Daemon, body: Callable[[cocos.ManagerServiceStub], Awaitable[Any]]
) -> tuple[Status, str]:
    with pytest.raises(GRPCError) as refused:
        ask(daemon, body)
    return refused.value.status, str(refused.value.message)


def greeted(address: tuple[str, int]) -> bytes:
    """Return what the agent says; it has one visitor at a time, and the daemon was one."""
    deadline = time.monotonic() + COMMAND_S
    while time.monotonic() < deadline:
        with (
            suppress(ConnectionError),
            socket.create_connection(address, COMMAND_S) as agent,
        ):
            agent.sendall(b"hi\n")
            if said := agent.recv(100):
                return said
    raise AssertionError("the agent does not answer")


def test_a_machine_is_created_reached_described_and_removed(machines: Daemon) -> None:
    request = cocos.CreateReq(agent_log_level="debug", ttl="10m")
    created = ask(machines, lambda stub: stub.create_vm(request))
    vm_id = created.cvm_id
    machines.wait_for(vm_id, "vm.guest-ready.v1")
    address = ("127.0.0.1", int(created.forwarded_port))
    assert greeted(address) == b"hello\n"
    with tarfile.open(machines.state_dir / "vms" / vm_id / "launch-1" / "inputs.tar") as inputs:
        environment = inputs.extractfile("datasets/environment")
        assert environment is not None
        assert environment.read() == b"AGENT_LOG_LEVEL=debug\n"

    told = ask(machines, lambda stub: stub.cvm_info(cocos.CvmInfoReq(id=vm_id)))
    assert (told.id, told.cpu_num, told.eos_version) == (vm_id, 4, "cocos-rootfs")
    assert told.kernel_cmd == "console=ttyS0 quiet"

    asked = cocos.AttestationPolicyReq(id=vm_id)
    status, says = refusal(machines, lambda stub: stub.attestation_policy(asked))
    assert (status, "is not confidential" in says) == (Status.FAILED_PRECONDITION, True)

    ask(machines, lambda stub: stub.remove_vm(cocos.RemoveReq(cvm_id=vm_id)))
    assert not (machines.state_dir / "vms" / vm_id).exists()
    assert machines.wait_for(vm_id, "vm.deleted.v1")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, COMMAND_S)


def test_a_host_without_the_images_says_which_are_missing(daemon: Daemon) -> None:
    status, says = refusal(daemon, lambda stub: stub.create_vm(cocos.CreateReq()))
    assert status is Status.FAILED_PRECONDITION
    assert "'cocos-kernel'" in says
    assert "'cocos-rootfs'" in says


def test_a_guest_that_calls_a_server_needs_a_network_that_the_host_gives(machines: Daemon) -> None:
    request = cocos.CreateReq(agent_cvm_server_url="10.0.2.2:7003")
    status, says = refusal(machines, lambda stub: stub.create_vm(request))
    assert (status, "--allow-unrestricted-network" in says) == (Status.PERMISSION_DENIED, True)
