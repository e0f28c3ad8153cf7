"""The world of one VM: QEMU's process, its QMP socket, the guest's agent, files and timers.

:class:`supervisor.host.host.VmHost` performs the effects that the pure core orders, and reports
observations. It decides nothing: whatever can be expected to go wrong is an observation, and the
rest raises. Cancelling it leaves QEMU alone, because guests outlive the daemon.

    host        one match: effect -> who performs it
    prepare     images, inputs, accel, inputs_disk, results_disk: the files of a launch
    spawn       QEMU's start; process: its identity, its end; adoption: found again, with proof
    session     attends a live QEMU until it is gone: contact (QMP), agent, logs
    monitor     the one table between QMP and the core's words
    facts       what is read from the machine once
"""
