"""Access control: signed visitor ids, address prefixes, the limit on open files."""
