"""The pure core: what a VM is, what may happen to it, and what follows.

Nothing here touches the world: only the standard library and msgspec are imported, and time, ids
and limits are passed in. Commands and observations go into :func:`supervisor.vm.decide.decide`;
events and effects come out; state is a fold of events and nothing else.
"""
