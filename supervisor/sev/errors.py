"""Why something is refused: one class for each kind of reason, one sentence for each refusal."""


class SevRefused(Exception):
    """Something of a launch, a platform or a report was refused; the message says what and why."""


class Malformed(SevRefused):
    """Bytes or text are damaged, cut off, or something else than they should be."""


class Untrusted(SevRefused):
    """A signature, or a chain of certificates, does not lead to the root that was given."""


class Mismatch(SevRefused):
    """A measurement, or a value that was demanded, is another one."""


class WeakPolicy(SevRefused):
    """A policy allows the host what the owner demands to be forbidden."""


class Outdated(SevRefused):
    """A platform's firmware is older than the owner accepts."""


class Unfit(SevRefused):
    """What was asked for cannot be measured, or cannot be taken in by a guest."""
