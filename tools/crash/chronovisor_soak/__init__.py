"""A long run of a real daemon with real VMs in which much goes wrong: what is lost, what stays.

`daemon` is the process that is killed, `clients` what is asked of it, `trouble` what happens to it,
`census` what is alive, `account` what is held against the log in the end.
"""
