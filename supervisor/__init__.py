"""Chronovisor's daemon: an event-sourced supervisor for the lifecycles of virtual machines."""
