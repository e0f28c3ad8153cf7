"""What the daemon is told at its start: one schema, and the file, variables and flags that fill it.

:mod:`schema` is the schema, and every setting of it has three ways in, which :mod:`settings`
derives from it: a key of the TOML file, a variable, a flag. :mod:`resolving` lets the nearest one
win and remembers which it was; nothing is believed before all of it was found right.
"""

from supervisor.config.places import (
    QEMU_OWN_USER,
    QEMU_SHARED_USER,
    default_catalogue,
    default_state_dir,
)
from supervisor.config.schema import Capacity, Config, Listen, Log, Telemetry, Tls
from supervisor.config.values import Address, LogFormat, LogLevel, Networking, PortRange

__all__ = [
    "QEMU_OWN_USER",
    "QEMU_SHARED_USER",
    "Address",
    "Capacity",
    "Config",
    "Listen",
    "Log",
    "LogFormat",
    "LogLevel",
    "Networking",
    "PortRange",
    "Telemetry",
    "Tls",
    "default_catalogue",
    "default_state_dir",
]
