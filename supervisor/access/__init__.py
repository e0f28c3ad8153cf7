"""Who may do what: roles, bearer tokens and certificates, and how often somebody may ask."""
