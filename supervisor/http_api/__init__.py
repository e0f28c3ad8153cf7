"""The daemon over HTTP: REST resources, Server-Sent Events, health, metrics, an OpenAPI document.

Starlette routes requests and Hypercorn speaks HTTP/1.1 on Trio; what both leave unbounded is
bounded in :mod:`.connections` and :mod:`.gate`. What may be asked, and how it is described to
clients, is one table of :class:`~.operation.Operation`. Refusals are those of
:mod:`supervisor.api`, as problem details.
"""
