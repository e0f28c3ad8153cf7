"""What supervision costs: the same guest booted by hand and by the daemon, in turns.

timeline     the moments of one launch, and what is measured between them
bare         one launch by hand: QEMU, two sockets, and nothing else
supervised   the same launch ordered from a daemon, timed from outside
report       medians, ratios and goals, for people and as JSON

idle_guest         a guest that does nothing, so that hundreds can be had
paused_fleet       a daemon of our own with paused VMs
libvirt_client, libvirt_domain, libvirtd    libvirt with the same machines, of our own as well
paused_launches    launches up to the paused machine, ours and libvirt's
recovery, recovery_report    a killed daemon finds its VMs again, ours and libvirt's
silence            one QEMU of many is stopped
history, restarts  a long history, with and without a snapshot
"""
