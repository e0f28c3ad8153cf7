"""What Server-Sent Events may be asked: where to begin, and what to leave out."""

import httpx
import pytest

from supervisor.api.cloudevents import rfc3339
from supervisor.api.subscription import LEFT_OUT
from tests.api.memory_supervisor import MemorySupervisor
from tests.http_api.conftest import Served, violations
from tests.http_api.event_source import following


async def test_a_moment_says_where_to_begin_until_an_id_says_better(
    served: Served, supervisor: MemorySupervisor
) -> None:
    await supervisor.say(4)
    times = [record.recorded_at async for record in supervisor.log.read()]
    since = f"?since={rfc3339(times[1])}"
    async with following(served, since) as events:
        assert await events.replayed() == [2, 3, 4]
    async with following(served, since, f"{supervisor.log.log_id}/3") as events:
        assert await events.replayed() == [4]


async def test_streams_and_outcomes_are_chosen(
    served: Served, supervisor: MemorySupervisor
) -> None:
    await supervisor.say(1, stream="host")
    for outcome in ("completed", "qemu-crashed"):
        facts = {"outcome": outcome}
        await supervisor.log.append([supervisor.event("vm/a", "vm.failed.v1", facts)])
    async with following(served, "?subject=host") as events:
        assert await events.replayed() == [1]
    async with following(served, "?outcome=qemu-crashed") as events:
        assert await events.replayed() == [3]


async def test_an_id_without_an_event_tells_the_place_to_who_chose_little(
    served: Served, supervisor: MemorySupervisor
) -> None:
    said = supervisor.event("vm/a", "vm.said.v1", {})
    await supervisor.log.append([said] * (LEFT_OUT + 1))
    async with following(served, "?subject=host") as events:
        lines = [await events.line() for _ in range(4)]
        assert await events.replayed() == []
    assert lines == ["retry: 1000", "", f"id: {supervisor.log.log_id}/{LEFT_OUT}", ""]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?since=soon", "since"),
        ("?since=1&after=1", "since"),
        ("?since=9999999999999", "since"),
        ("?subject=", "subject"),
        ("?outcome=well", "outcome"),
    ],
)
async def test_a_question_that_is_wrong_is_told_so(
    client: httpx.AsyncClient, supervisor: MemorySupervisor, query: str, field: str
) -> None:
    await supervisor.say(1)
    answer = await client.get(f"/v1/events{query}")
    assert answer.status_code == 400
    assert field in violations(answer)
