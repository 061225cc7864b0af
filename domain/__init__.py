"""The shared nouns. Standard library only, no I/O, no clock."""
