"""Who may come in: signatures, address prefixes, limits."""
