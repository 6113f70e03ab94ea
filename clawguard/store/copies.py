"""Copies of a database: taken while it is in use, checked, and put in its place.

A copy is one file. What stands in the lock file beside the database is not copied: it tells an older copy.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

from clawguard.errors import ConfigError, InvalidArgument, StoreBusy
from clawguard.private_files import absolute, sync_folder, write_private
from clawguard.store.catalog import Catalog
from clawguard.store.connections import Connection, connect, translate
from clawguard.store.files import check_database_file, check_own
from clawguard.store.marks import Marker
from clawguard.store.shut import state_of
from clawguard.store.writer_queue import WriterQueue

__all__ = ["bring", "faults_of", "put_in_place", "take_copy"]

_STEP = 256  # pages between two calls of `progress`
_SIDES = ("-wal", "-shm")

Progress = Callable[[int, int], None]


def take_copy(path: Path, to: Path, *, progress: Progress | None = None) -> int:
    """Copy a database that may be in use into a new file, whole as of one moment; return its bytes.

    The file is 0600, and only there when it is whole and synced. `progress` is told the pages copied and how
    many there are. Raises InvalidArgument where the file exists, ConfigError where it cannot be written, and
    StoreMoved.
    """
    path, to = absolute(path, argument="url"), absolute(to, argument="to")
    if to.exists() or to.is_symlink():
        raise _taken()
    if not to.parent.is_dir():
        raise InvalidArgument("to", "names a folder that does not exist")
    _check_there(path)
    source = connect(path, query_only=True)
    try:
        _check_not_shut(source)
        source.execute("BEGIN")  # one snapshot for all steps: writers go on meanwhile
        source.execute(Catalog("sqlite")["meta.identity"].sql).fetchone()
        with tempfile.TemporaryDirectory(prefix=f".{to.name}-", dir=to.parent) as folder:  # 0700
            aside = Path(folder, to.name)
            _copy_into(source, aside, progress)
            os.link(aside, to)  # unlike a rename, it replaces nothing
        sync_folder(to.parent)
    except FileExistsError:
        raise _taken() from None
    except OSError as error:
        raise ConfigError(f"the copy {to} cannot be written ({error.strerror})") from None
    except sqlite3.Error as error:
        raise translate(error) from None
    finally:
        source.close()
    return to.stat().st_size


def bring(copy: Path, to: Path) -> None:
    """Bring a copy, with its write-ahead log if it has one, to a place of its own that nobody else sees.

    Raises ConfigError for what is no file that can be read.
    """
    copy = absolute(copy, argument="copy")
    try:
        for side in ("", "-wal"):
            beside = copy.with_name(copy.name + side)
            if side and not beside.exists():
                continue
            place = to.with_name(to.name + side)
            write_private(place, b"")
            with place.open("wb") as file, beside.open("rb") as data:
                shutil.copyfileobj(data, file)
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        raise ConfigError(f"the copy {copy} cannot be read ({error.strerror})") from None


def put_in_place(copy: Path, path: Path, *, replaced: str, lock_timeout: float = 5.0) -> Path | None:
    """Put a copy in a database's place, and mark its last entry as the newest that was in use here.

    What stood there is kept beside it, with `replaced` at the end of its name, and that is returned. Nobody
    may have it open: StoreBusy, and nothing happened.
    """
    path = absolute(path, argument="url")
    queue = WriterQueue(path.with_name(f"{path.name}-lock"), timeout=lock_timeout)
    kept = path.with_name(path.name + replaced)
    try:
        queue.open()
        check_own(path.with_name(f"{path.name}-lock"))
        queue.acquire()
        found = path.exists()
        if found:
            _check_unused(path)
            for side in ("", *_SIDES):
                before = path.with_name(path.name + side)
                if before.exists():
                    before.rename(kept.with_name(kept.name + side))
        copy.rename(path)
        sync_folder(path.parent)
        _mark(path, queue)
    except OSError as error:
        raise ConfigError(f"the copy cannot be put in place ({error.strerror})") from None
    finally:
        queue.release()
        queue.close()
    return kept if found else None


def faults_of(path: Path) -> list[str]:
    """Return what SQLite finds wrong with a database's pages, indexes and references; nothing if whole."""
    _check_there(path)
    try:
        connection = connect(path, query_only=True)
    except sqlite3.Error as error:
        return [str(translate(error))]
    try:
        found = [str(text) for (text,) in connection.execute("PRAGMA integrity_check(20)") if text != "ok"]
        found += [
            f"row {row} of {table} refers to a row of {other} that is missing"
            for table, row, other, _ in connection.execute("PRAGMA foreign_key_check")
        ]
    except sqlite3.Error as error:
        return [str(translate(error))]
    finally:
        connection.close()
    return found


def _check_there(path: Path) -> None:
    if not path.exists():
        raise ConfigError(f"there is no database at {path}", hint="name it by --url or CLAWGUARD_URL")
    check_database_file(path)


def _check_not_shut(connection: Connection) -> None:
    """Raise StoreMoved for a database that was moved, ConfigError for a part of one."""
    catalog = Catalog("sqlite", "moving", "moving_sqlite")
    if connection.execute(catalog["move.known"].sql).fetchall():
        state = state_of(connection.execute(catalog["move.state"].sql).fetchall())
        refusal = None if state is None else state.refusal()
        if refusal is not None:
            raise refusal


def _taken() -> InvalidArgument:
    return InvalidArgument("to", "exists already", hint="give each copy a file of its own")


def _copy_into(source: Connection, aside: Path, progress: Progress | None) -> None:
    write_private(aside, b"")
    target = sqlite3.connect(aside, isolation_level=None)

    def tell(_status: int, remaining: int, total: int) -> None:
        if progress is not None:
            progress(total - remaining, total)

    try:
        target.execute("PRAGMA synchronous = OFF")  # synced as a whole, before it gets its name
        source.backup(target, pages=_STEP, progress=tell)
    finally:
        target.close()
    with aside.open("rb") as file:
        os.fsync(file.fileno())


def _check_unused(path: Path) -> None:
    """Raise StoreBusy where any process has a database open: each holds a lock as long as it has."""
    connection = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=0)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("ROLLBACK")
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise StoreBusy("a process has the database open", hint="stop all of them first") from None
        # A file that cannot be read any more: nobody can work with it.
    finally:
        connection.close()


def _mark(path: Path, queue: WriterQueue) -> None:
    catalog = Catalog("sqlite")
    connection = connect(path)
    try:
        head = connection.execute(catalog["event.head"].sql).fetchone()
        if head is not None:
            Marker(connection, name=path.name, queue=queue, catalog=catalog).note(head[0], head[1])
            queue.sync_notes()
        queue.reset_commits()
    finally:
        connection.close()
