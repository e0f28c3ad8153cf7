"""QEMU's Machine Protocol on Trio: messages by ``qemu.qmp``, everything that waits by us.

``qemu.qmp.QMPClient`` is asyncio-only, keeps every event for ever and has no deadlines; so only the
parts of that package that are plain values are used (:mod:`supervisor.qmp.connection`), and a
Trio stream drives them (:mod:`supervisor.qmp.client`). Nothing else of the supervisor is imported
here.
"""
