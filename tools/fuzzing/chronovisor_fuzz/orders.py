"""Proper clients: they see to it that there are VMs in every phase, and in the end none."""

import json
import random
from typing import Any

import trio

from chronovisor_fuzz.http_attacks import ORDERS, request
from chronovisor_fuzz.target import Attack, Found, Target, connected, read_on

ANSWER_S = 90.0
GONE_S = 180.0
"""Killed QEMUs end within seconds, also where every one has to be looked for."""
ASK_AGAIN_S = 0.5
ANSWER_MOST = 16 << 20
SCRIPT = b"#!/bin/sh\necho running; sleep 5; echo 42 >$CHRONOVISOR_RESULTS/answer\n"


async def an_order(target: Target, chance: random.Random) -> str:
    """Submit a computation, or order a VM about."""
    vm_id = chance.choice(target.vm_ids)
    if chance.random() < 0.3:
        return await submit(target, chance)
    if chance.random() < 0.3:
        return await _delete(target, vm_id, chance)
    order = chance.choice(ORDERS)
    status, _ = await ask(target, "POST", f"/v1/vms/{vm_id}/{order}")
    return f"{order} {status}"


async def submit(target: Target, chance: random.Random) -> str:
    """Submit a computation for a VM that may be there already."""
    path = f"/v1/computations?vm_id={chance.choice(target.vm_ids)}"
    status, _ = await ask(target, "POST", path, _manifest(target))
    return f"submit {status}"


async def _delete(target: Target, vm_id: str, chance: random.Random) -> str:
    status, _ = await ask(target, "DELETE", f"/v1/vms/{vm_id}")
    if status in {200, 404} and vm_id in target.vm_ids:  # an attack may have deleted it before us
        target.vm_ids[target.vm_ids.index(vm_id)] = f"fuzz-{chance.getrandbits(32)}"
    return f"delete {status}"


async def store_script(target: Target) -> str:
    """Store the computations' program; return its digest."""
    status, stored = await ask(target, "POST", "/v1/artifacts", SCRIPT)
    if status != 201:
        raise Found(f"the upload of a script was answered with {status}: {stored}")
    return str(stored["sha256"])


async def delete_all(target: Target) -> None:
    """End and delete every VM. Raises Found if that takes too long."""
    with trio.move_on_after(GONE_S):
        while vms := await list_vms(target):
            for vm in vms:
                if vm["phase"] in {"stopped", "failed"}:
                    await ask(target, "DELETE", f"/v1/vms/{vm['vm_id']}")
                else:
                    await ask(target, "POST", f"/v1/vms/{vm['vm_id']}/kill")
            await trio.sleep(ASK_AGAIN_S)
        return
    raise Found(f"VMs that do not end: {[(vm['vm_id'], vm['phase']) for vm in vms]}")


async def list_vms(target: Target) -> list[dict[str, Any]]:
    """Return the VMs there are."""
    _, page = await ask(target, "GET", "/v1/vms?page_size=1000")
    return list(page["vms"])


async def ask(target: Target, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
    """Return status and JSON of an answer. Raises Found if there is none."""
    async with connected(target.http) as stream:
        await stream.send_all(request(target, method, path, body))
        received = await read_on(stream, ANSWER_S, ANSWER_MOST)
    head, _, content = received.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 "):
        raise Found(f"{method} {path} was not answered: {received[:100]!r}")
    return int(head.split()[1]), json.loads(content) if content else None


def _manifest(target: Target) -> bytes:
    manifest = {
        "name": "between the attacks",
        "algorithm": {"sha256": target.sha256},
        "vm": {"accel": "tcg", "memory_bytes": 128 << 20},
        "limits": {"ttl_ms": 40_000, "launch_deadline_ms": 40_000, "stop_grace_ms": 2_000},
    }
    return json.dumps(manifest).encode()


ATTACKS: dict[str, tuple[Attack, int]] = {"orders": (an_order, 4)}
