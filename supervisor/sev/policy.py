"""What an owner's policy forbids the host.

Source: SEV API specification, chapter 3. The low 16 bits are flags, the high 16 the lowest API
version (major in the lower byte) on which the firmware lets the guest run.
"""

from enum import IntFlag

from supervisor.sev.errors import Malformed, WeakPolicy

API_SHIFT = 16
POLICY_MAX = (1 << 32) - 1


class PolicyFlag(IntFlag):
    """Bits that are set to forbid, or to demand, something."""

    NODBG = 0x01
    NOKS = 0x02
    ES = 0x04
    NOSEND = 0x08
    DOMAIN = 0x10
    SEV = 0x20


DANGERS = {
    PolicyFlag.NODBG: "the host may read and write the guest's memory to debug it",
    PolicyFlag.NOKS: "other guests may share its key",
    PolicyFlag.ES: "the host may read and write its registers",
    PolicyFlag.NOSEND: "the host may send it to another platform",
    PolicyFlag.DOMAIN: "the host may send it to a platform of another owner's domain",
    PolicyFlag.SEV: "the host may send it to a platform without SEV",
}
"""What a host may do where a bit is not set."""

KNOWN = sum(PolicyFlag)


def parse_flags(text: str) -> PolicyFlag:
    """Read names such as "nodbg,noks". Raises Malformed."""
    flags = PolicyFlag(0)
    for name in filter(None, text.upper().split(",")):
        if name not in PolicyFlag.__members__:
            takes = ", ".join(each.lower() for each in PolicyFlag.__members__)
            raise Malformed(f"{name.lower()} is no flag of a policy; there are {takes}")
        flags |= PolicyFlag[name]
    return flags


def parse_policy(text: str) -> int:
    """Read a policy as a number, such as 0x3, or as names. Raises Malformed."""
    try:
        number = int(text, 0)
    except ValueError:
        return int(parse_flags(text))
    if not 0 <= number <= POLICY_MAX:
        raise Malformed(f"the policy {text} does not fit into 32 bits")
    reserved = number & ((1 << API_SHIFT) - 1) & ~KNOWN
    if reserved:
        raise Malformed(f"the policy {text} sets the reserved bits {reserved:#x}")
    return number


def describe_policy(policy: int) -> str:
    """Return a policy in a few words: nodbg, noks, API 1.51 or later."""
    words = [name.lower() for name, flag in PolicyFlag.__members__.items() if policy & flag]
    minimum = policy >> API_SHIFT
    if minimum:
        words.append(f"API {minimum & 0xFF}.{minimum >> 8} or later")
    return ", ".join(words) or "everything is allowed"


def demand_flags(policy: int, demanded: PolicyFlag) -> None:
    """Raise WeakPolicy where a demanded bit is not set; the message says what that would allow."""
    for flag, danger in DANGERS.items():
        if demanded & flag and not policy & flag:
            name = str(flag.name).lower()
            raise WeakPolicy(f"the policy {policy:#x} lacks {name}, which is demanded: {danger}")
