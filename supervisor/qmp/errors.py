"""What may go wrong between us and a QMP server.

QmpError
 +- QmpProtocolError    the peer does not speak QMP
 +- QmpDisconnected     the connection is gone; nobody will answer
 +- QmpTimeout          no answer in time; it may still come and is then ignored
 +- QmpCommandRefused   QEMU answered with an error
"""


class QmpError(Exception):
    """Whatever ends a QMP command other than its return value."""


class QmpProtocolError(QmpError):
    """The peer sent something that is not QMP."""


class QmpDisconnected(QmpError):
    """The connection ended before the answer came."""


class QmpTimeout(QmpError):
    """The answer did not come in time."""


class QmpCommandRefused(QmpError):
    """QEMU answered a command with an error; the message is QEMU's own sentence."""

    def __init__(self, error_class: str, description: str) -> None:
        super().__init__(description)
        self.error_class = error_class
