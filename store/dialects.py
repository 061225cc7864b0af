"""What the two databases say differently."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Dialect, Table, Text, func, literal, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import TypeEngine

INSERT = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
TEXT = Text()  # one for all: SQLAlchemy examines each new type, which took a fifth of a small write
MARK = {"sqlite": "?", "postgresql": "%s"}  # where a parameter goes


def insert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that can say ON CONFLICT."""
    return INSERT[connection.dialect.name](table)


def insert_many(
    connection: Connection,
    table: Table,
    columns: Sequence[str],
    rows: Iterable[Sequence[str | None]],
    *,
    same: Mapping[str, Any],
) -> int:
    """Insert rows of texts, and `same` into each; the number of those that were not there.

    Straight to the driver: an import spends half its time in SQLAlchemy's care for each parameter.
    """
    dialect = connection.dialect
    names = (*columns, *same)
    tail = tuple(_bound(table.c[name].type, value, dialect) for name, value in same.items())
    marks = ", ".join([MARK[dialect.name]] * len(names))
    statement = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608
    options = {"preserve_rowcount": True}
    return connection.exec_driver_sql(statement, [(*row, *tail) for row in rows], options).rowcount


def _bound(type_: TypeEngine[Any], value: Any, dialect: Dialect) -> Any:
    convert = type_.dialect_impl(dialect).bind_processor(dialect)
    return convert(value) if convert else value


def among(column: Column[Any], texts: Iterable[str]) -> ColumnElement[bool]:
    """`column IN texts`, for any number of them: they travel as one parameter, which is under no limit."""
    listed = func.texts_of(literal(json.dumps(list(texts)), TEXT)).table_valued("value")
    return column.in_(select(listed.c.value))


def alone(connection: Connection, lock: int) -> bool:
    """Whether nobody else holds this lock, which is ours then until the transaction ends. SQLite has one writer."""
    if connection.dialect.name == "sqlite":
        return True
    return bool(connection.scalar(select(func.pg_try_advisory_xact_lock(lock))))


class texts_of(GenericFunction[str]):  # noqa: N801  named as it is called
    """The strings of a JSON array, as rows."""

    inherit_cache = True


@compiles(texts_of, "sqlite")
def _texts_of_sqlite(element: texts_of, compiler: SQLCompiler, **kw: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **kw)})"


@compiles(texts_of, "postgresql")
def _texts_of_postgresql(element: texts_of, compiler: SQLCompiler, **kw: Any) -> str:
    return f"json_array_elements_text(({compiler.process(element.clauses, **kw)})::json)"
