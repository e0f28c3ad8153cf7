"""Faults on purpose: what `serve --fault-plan FILE` lets happen to the daemon.

A plan is data (:mod:`plan`), read from a file (:mod:`loading`). It is let in at the seams that the
daemon has anyway (:mod:`seams`): the log's storage, the host of each VM, and the streams to QEMU
and to the guest's agent. Nothing else in the daemon knows of it; without a plan nothing is wrapped.
"""
