"""What is seen of the daemon from outside: numbers for Prometheus, and traces for a collector.

Nothing here is asked for by the core, and nothing here can delay or end the daemon. Traces are made
of the log (:mod:`spans`), so a restart goes on with the same ones.
"""
