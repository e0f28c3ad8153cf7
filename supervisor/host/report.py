"""How the host layer speaks: every observation goes through one awaitable call."""

from collections.abc import Awaitable, Callable

from supervisor.vm.observations import Observation

Report = Callable[[Observation], Awaitable[None]]
"""Puts an observation into the VM's mailbox, and waits while that is full."""
