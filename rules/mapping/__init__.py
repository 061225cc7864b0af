"""Rows of a foreign file into records and people, as a mapping file says. Pure: rows in, records and findings out.

`spec` is the file's shape, `load` checks it against the model, `values` reads one cell, `rows` makes records of
rows, `fold` makes one record of many rows.
"""

from rules.mapping.load import BadMapping, UnknownMap, check_columns, find, load, shipped
from rules.mapping.rows import PERSON, Entity, Finding, ImportMap, Rows, Taken
from rules.mapping.values import Column

__all__ = [
    "PERSON",
    "BadMapping",
    "Column",
    "Entity",
    "Finding",
    "ImportMap",
    "Rows",
    "Taken",
    "UnknownMap",
    "check_columns",
    "find",
    "load",
    "shipped",
]
