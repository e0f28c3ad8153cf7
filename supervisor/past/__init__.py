"""What was: the state at any moment of the log, what changed between two, and why. All of it works
on the directory, without a daemon and beside a live one.
"""
