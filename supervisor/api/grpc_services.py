"""The gRPC services that the daemon offers: each contract, and who does what it says."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import msgspec
from chronovisor_api import cocos, v1
from grpclib.const import Handler

from supervisor.api.cocos_service import CocosService
from supervisor.api.grpc_service import SupervisorService
from supervisor.api.ports import Supervisor

_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class Contract(Protocol):
    """The generated base of a service, which knows its methods' paths and messages."""

    def __mapping__(self) -> Mapping[str, Handler]: ...


class Offered(msgspec.Struct, frozen=True):
    """A contract, and the object whose methods have the names of its calls."""

    contract: Contract
    service: object

    def calls(self) -> Iterator[tuple[str, Handler, Callable[..., Any]]]:
        """Yield the path of each call, how it is served, and the method that does it."""
        for path, handler in self.contract.__mapping__().items():
            name = _WORDS.sub("_", path.rpartition("/")[2]).lower()
            yield path, handler, getattr(self.service, name)


def offered(supervisor: Supervisor) -> tuple[Offered, ...]:
    """Return every service, on top of one daemon."""
    return (
        Offered(v1.SupervisorBase(), SupervisorService(supervisor)),
        Offered(cocos.ManagerServiceBase(), CocosService(supervisor)),
    )
