"""Hostile clients of a real daemon: what they send, and what must never come of it.

`http_attacks`, `http2_attacks`, `message_attacks` and `websocket_attacks` are what is done, each a
small function; `openapi` lets Schemathesis do it by the book; `orders` are proper clients between
them, so that there are VMs in every phase. `watch` sees whether the daemon still serves the others,
`ledger` counts, `campaign` is the course of a run and `verdict` what it came to.
"""
