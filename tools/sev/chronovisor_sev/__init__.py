"""SIMULATED: a machine with a secure processor, for hosts that have none.

:mod:`vendor` is an AMD of our own, :mod:`platform` the keys of one chip below it, :mod:`processor`
what its firmware answers, :mod:`guest_memory` what a launch measures. :mod:`program` stands in
QEMU's place on PATH: it answers as QEMU with SEV does and lets the real QEMU run the guest, whose
memory is not protected at all. Nothing of this proves anything to anybody: it shows the exchange.

Written from AMD's specification and QEMU's observed words, and not with the code that it tests.
"""
