"""The files of a database: who may read and write them, and what is refused before it is opened."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path

from clawguard.errors import ConfigError
from clawguard.private_files import check_private

__all__ = [
    "check_database_file",
    "check_own",
    "prepare_folder",
    "remove_folder",
]

_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "fuse.sshfs", "fuse.glusterfs"}
)
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def prepare_folder(folder: Path, *, create: bool) -> None:
    """Make the folder private, with a `.gitignore`, or check one that is there already.

    Raises ConfigError when others could replace files in it, or when it lies on a network file system
    (write-ahead logging needs shared memory on one host).
    """
    if not folder.exists():
        if not create:
            raise ConfigError(
                f"there is no database in {folder}", hint="open it once with SessionManager.open()"
            )
        _make_private_folder(folder)
    status = folder.stat()
    if not stat.S_ISDIR(status.st_mode):
        raise ConfigError("the database's folder is not a folder")
    if status.st_uid not in (os.geteuid(), 0):
        raise ConfigError("the database's folder belongs to another user", hint="use a folder of your own")
    if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        raise ConfigError("others may write in the database's folder", hint="chmod o-w that folder")
    if file_system_of(folder) in _NETWORK:
        raise ConfigError("the database's folder is on a network file system", hint="use a local folder")


def _make_private_folder(folder: Path) -> None:
    """Make it whole aside and move it into place, so that it is never seen without its `.gitignore`."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))  # made with mode 0700
    (aside / ".gitignore").write_text("*\n", encoding="utf-8")
    try:
        aside.rename(folder)
    except OSError:
        shutil.rmtree(aside)
        if not folder.is_dir():
            raise


def file_system_of(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str | None:
    """Return the type of the file system that holds the folder, or None where it cannot be told."""
    try:
        lines = mounts.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return None
    wanted = os.fspath(folder.resolve())
    best, kind = "", None
    for line in lines:
        left, _, right = line.partition(" - ")
        fields = left.split()
        if len(fields) < 5 or not right:
            continue
        mount = fields[4].encode().decode("unicode_escape")
        inside = wanted == mount or wanted.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, kind = mount, right.split()[0]
    return kind


def check_own(path: Path) -> None:
    """Refuse a file of ours that is a link, not regular, another user's, or open to others."""
    check_private(path, path.lstat(), name="database's file")


def check_database_file(path: Path) -> None:
    """Refuse an empty file, which SQLite would take for a new database, and files open to others."""
    check_own(path)
    if path.stat().st_size == 0:
        raise ConfigError(
            f"{path.name} is empty: a database was lost or truncated here",
            hint="restore it from a backup, or remove the file to begin anew",
        )
    for side in (path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        if side.exists():
            check_own(side)


def remove_folder(folder: Path, *, owner: int) -> None:
    """Remove a temporary folder, unless this is a forked child of the process that owns it."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
