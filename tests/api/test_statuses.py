"""The table of statuses is complete, and never says UNKNOWN."""

import pytest
from grpclib.const import Status

from supervisor.api.grpc_status import STATUS
from supervisor.api.http_status import http_status
from supervisor.vm.commands import DenyReason


@pytest.mark.fault("errors-unknown")
def test_every_reason_has_a_status() -> None:
    assert set(STATUS) == set(DenyReason)


@pytest.mark.fault("errors-unknown")
def test_no_refusal_is_unknown_or_a_failure_of_ours() -> None:
    assert not {Status.OK, Status.UNKNOWN, Status.INTERNAL} & set(STATUS.values())


@pytest.mark.parametrize("reason", DenyReason)
def test_every_reason_has_an_http_status_that_blames_the_right_side(reason: DenyReason) -> None:
    ours = {Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED}
    assert http_status(reason) // 100 == (5 if STATUS[reason] in ours else 4)
