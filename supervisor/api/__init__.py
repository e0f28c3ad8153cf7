"""How the world talks to the daemon: gRPC, WebSocket, and the translation to the core's words.

Everything a client sends is hostile until :mod:`supervisor.api.wire` has turned it into values of
the core. Refusals are :class:`~supervisor.vm.commands.CommandDenied`, wherever they arise, and
become a status in one table. Nothing below this package knows that asyncio exists.
"""
