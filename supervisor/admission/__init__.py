"""What spans VMs: whether a computation is taken, and which VM answers to which idempotency key."""
