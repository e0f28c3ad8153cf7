"""What holds when nobody says otherwise: the system's places for root, XDG's for others."""

import os
from collections.abc import Mapping
from pathlib import Path

SYSTEM_HOME = Path("/var/lib/chronovisor")
"""State and data of a daemon that root runs; others keep theirs where XDG puts them."""

SYSTEM_FILE = Path("/etc/chronovisor/chronovisor.toml")
"""The configuration of a daemon that root runs."""

QEMU_OWN_USER = "chronovisor-qemu"
"""Who QEMU runs as where root runs the daemon: a system user for this purpose alone."""
QEMU_SHARED_USER = "nobody"
"""Where there is no such user: harmless to the host, but others may run things as it too."""


def default_file(environment: Mapping[str, str], uid: int) -> Path:
    """Return where the configuration of a user's daemon is looked for."""
    if uid == 0:
        return SYSTEM_FILE
    return _xdg(environment, "XDG_CONFIG_HOME", ".config") / "chronovisor" / "chronovisor.toml"


def default_state_dir(environment: Mapping[str, str], uid: int) -> Path:
    """Return where a user's daemon keeps its log, its VMs and its socket."""
    if uid == 0:
        return SYSTEM_HOME
    return _xdg(environment, "XDG_STATE_HOME", ".local/state") / "chronovisor"


def default_catalogue(environment: Mapping[str, str], uid: int) -> Path:
    """Return where a user's guests are built and looked for."""
    if uid == 0:
        return SYSTEM_HOME / "guest"
    return _xdg(environment, "XDG_DATA_HOME", ".local/share") / "chronovisor" / "guest"


def _xdg(environment: Mapping[str, str], variable: str, below_home: str) -> Path:
    # A relative path must be ignored (XDG Base Directory Specification).
    chosen = environment.get(variable, "")
    home = environment.get("HOME") or os.path.expanduser("~")
    return Path(chosen) if os.path.isabs(chosen) else Path(home) / below_home
