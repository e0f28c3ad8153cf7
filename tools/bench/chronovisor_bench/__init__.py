"""What supervision costs: the same guest booted by hand and by the daemon, in turns.

timeline     the moments of one launch, and what is measured between them
bare         one launch by hand: QEMU, two sockets, and nothing else
supervised   the same launch ordered from a daemon, timed from outside
report       medians, ratios and goals, for people and as JSON
"""
