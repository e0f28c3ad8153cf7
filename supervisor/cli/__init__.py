"""The command line: one file per group of commands, each command a few lines.

Everything a command needs from outside comes from three places: :mod:`~supervisor.cli.connection`
talks to the daemon and hides asyncio, :mod:`~supervisor.cli.output` owns stdout and stderr, and
:mod:`~supervisor.cli.exits` says how a command may end.
"""
