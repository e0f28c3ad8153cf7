"""`chronovisor sev`: what the owner of a confidential guest does, on a machine that they trust."""
