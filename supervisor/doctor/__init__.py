"""What is to be known of a host before a daemon serves there: findings, each with its fix.

Each module looks at one side of the host, and :mod:`examination` goes through all of them. Nothing
is changed and nothing is left behind; a daemon that serves meanwhile is not disturbed.
"""

from supervisor.doctor.examination import Patient, examine
from supervisor.doctor.finding import Finding, Level

__all__ = ["Finding", "Level", "Patient", "examine"]
