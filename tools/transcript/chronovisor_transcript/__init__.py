"""QEMU without a machine: the QMP peer of a daemon under test, and transcripts played to it again.

:mod:`simulated_qemu` is a program that takes QEMU's argv and inherited descriptors and speaks QMP;
what it says comes from a :class:`machine.Machine`, or from a transcript (:mod:`script`). It imports
the standard library only, so that it greets as fast as QEMU. :mod:`replay` starts a real daemon on
it and compares what the daemon decides with what it decided then.
"""
