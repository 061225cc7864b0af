"""Rules: a dossier and `now` in, decisions out. Pure; no I/O but reading YAML."""
