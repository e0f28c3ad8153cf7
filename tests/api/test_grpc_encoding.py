"""Messages are encoded as betterproto2 encodes them, byte for byte."""

from datetime import UTC, datetime, timedelta

import betterproto2
import pytest
from chronovisor_api import v1
from grpclib.health.v1.health_pb2 import HealthCheckRequest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.api.grpc_encoding import Codec, encode
from supervisor.api.grpc_messages import decode

UINT64, INT32, INT64 = 2**64 - 1, 2**31 - 1, 2**63 - 1
TEXT = st.text(max_size=200)
MOMENTS = st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC))

EVENTS = st.builds(
    v1.Event,
    log_id=TEXT,
    position=st.integers(0, UINT64),
    stream=TEXT,
    version=st.integers(0, UINT64),
    time=st.none() | MOMENTS,
    data_json=st.text(max_size=5000),
)
VMS = st.builds(
    v1.Vm,
    vm_id=TEXT,
    phase=st.sampled_from(v1.Phase),
    exit_code=st.none() | st.integers(-INT32 - 1, INT32),
    labels=st.dictionaries(TEXT, TEXT, max_size=4),
    manifest=st.none() | st.builds(v1.Manifest, name=TEXT, labels=st.dictionaries(TEXT, TEXT)),
    created_at=st.none() | MOMENTS,
    progress=st.none() | st.builds(v1.Progress, fraction=st.floats(0, 1), message=TEXT),
    containment=st.none() | st.builds(v1.Containment, limits=st.lists(TEXT, max_size=4)),
    forwards=st.lists(st.builds(v1.HostForward, host_port=st.integers(0, 65535)), max_size=3),
    pid=st.none() | st.integers(0, INT32),
)
MESSAGES = (
    EVENTS
    | VMS
    | st.builds(v1.ListVmsRequest, phases=st.lists(st.sampled_from(v1.Phase)), page_size=st.just(0))
    | st.builds(v1.FetchResultResponse, chunk=st.binary(max_size=500))
    | st.builds(v1.WatchEventsResponse, event=st.none() | EVENTS)
    | st.builds(v1.ListVmsResponse, vms=st.lists(VMS, max_size=3))
)


@settings(deadline=None)
@given(MESSAGES)
def test_every_message_has_the_bytes_that_its_library_gives_it(
    message: betterproto2.Message,
) -> None:
    assert encode(message) == bytes(message)


@settings(deadline=None)
@given(MESSAGES)
def test_bytes_that_are_a_message_are_decoded_as_its_library_does(
    message: betterproto2.Message,
) -> None:
    kind, packed = type(message), bytes(message)
    assert decode(kind, packed) == kind.FromString(packed)


def test_a_field_of_a_newer_contract_is_passed_on() -> None:
    unknown = b"\xf2\x7f\x02ab"
    message = v1.GetVmRequest.FromString(bytes(v1.GetVmRequest(vm_id="a")) + unknown)
    assert encode(message) == bytes(message)
    assert encode(message).endswith(unknown)


def test_what_is_encoded_already_and_what_others_define_pass() -> None:
    codec = Codec()
    assert codec.encode(b"bytes", v1.Event) == b"bytes"
    of_others = HealthCheckRequest(service="a")
    assert codec.encode(of_others, HealthCheckRequest) == of_others.SerializeToString()
    with pytest.raises(TypeError):
        codec.encode("no message", HealthCheckRequest)
    moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=1)
    assert codec.encode(v1.Event(time=moment), v1.Event) == bytes(v1.Event(time=moment))
