"""The contract, told to clients that bring no copy of it: gRPC server reflection, v1 and v1alpha.

grpclib answers; what it tells comes from the descriptors that were packed with the generated code,
and of grpclib's own services from its modules. They live in a pool of their own, so that no other
package's idea of a file with the same name gets in between.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import chronovisor_api
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from grpclib.const import Handler
from grpclib.health.v1 import health_pb2
from grpclib.reflection.service import ServerReflection
from grpclib.reflection.v1 import reflection_pb2
from grpclib.reflection.v1alpha import reflection_pb2 as reflection_v1alpha_pb2

if TYPE_CHECKING:
    from grpclib._typing import IServable

DESCRIPTORS = "_generated/descriptors.binpb"
OF_GRPCLIB = (health_pb2, reflection_pb2, reflection_v1alpha_pb2)


def with_reflection(*services: "IServable") -> Mapping[str, Handler]:
    """Return the handlers of ``services``, and of the services that describe them."""
    handlers: dict[str, Handler] = {}
    for service in ServerReflection.extend(services, pool=contract()):
        handlers |= service.__mapping__()
    return handlers


@cache
def contract() -> DescriptorPool:
    """Return the descriptors of everything that is served."""
    packed = (files(chronovisor_api) / DESCRIPTORS).read_bytes()
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(packed).file:
        pool.AddSerializedFile(file.SerializeToString())
    for module in OF_GRPCLIB:
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    return pool
