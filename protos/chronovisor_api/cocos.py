"""The Cocos manager's gRPC contract: messages, its client's stub and the server's base.

Its clients bring their own copy; this one is for the daemon, and for programs that still speak it.
"""

from chronovisor_api._generated.google.protobuf import Empty
from chronovisor_api._generated.manager import (
    AttestationPolicyReq,
    AttestationPolicyRes,
    CreateReq,
    CreateRes,
    CvmInfoReq,
    CvmInfoRes,
    ManagerServiceBase,
    ManagerServiceStub,
    RemoveReq,
)

__all__ = [
    "AttestationPolicyReq",
    "AttestationPolicyRes",
    "CreateReq",
    "CreateRes",
    "CvmInfoReq",
    "CvmInfoRes",
    "Empty",
    "ManagerServiceBase",
    "ManagerServiceStub",
    "RemoveReq",
]
