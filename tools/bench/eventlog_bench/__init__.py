"""What the event log costs and gains, against what else could keep events. Knows no VMs."""
