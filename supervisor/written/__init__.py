"""What people write into files: sizes, durations, tables, and every wrong field told at once.

It knows no file of ours: manifests and the daemon's configuration are both read with it.
"""
