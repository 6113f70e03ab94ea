"""Check a release: `make release-check`; what it makes is in dist/.

It builds sdist and wheel twice from what is committed and compares them, lists what the wheel brings with it,
and runs the tests that the sdist holds against the installed wheel.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
SBOM = "sbom.cdx.json"
# The package as the sdist has it, which must not stand in the way of the installed one.
PACKAGE = ("clawguard", "clawguard_pytest.py")


class Built(NamedTuple):
    """Hold what one build has made."""

    sdist: Path
    wheel: Path

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of each file, in hex, by its name."""
        return {each.name: digest(each) for each in self}


def main() -> int:
    """Check it all; return the exit code of the tests."""
    with tempfile.TemporaryDirectory(prefix="clawguard-release-") as folder:
        work = Path(folder)
        made = published(built_twice(work))
        installed = environment(work / "core", str(made.wheel))
        list_what_comes_with_it(installed, DIST / SBOM)
        write_sums()
        return tested(made, work)


def built_twice(work: Path) -> Built:
    """Build from two copies of what is committed; they are the same byte for byte."""
    first, second = (build(work / name) for name in ("first", "second"))
    if first.digests() != second.digests():
        raise SystemExit(f"two builds of one commit differ: {first.digests()} and {second.digests()}")
    return first


def build(folder: Path) -> Built:
    """Build sdist and wheel from a fresh clone."""
    run("git", "clone", "--quiet", str(ROOT), str(folder / "tree"))
    run(sys.executable, "-m", "hatchling", "build", "-d", str(folder / "dist"), within=folder / "tree")
    (sdist,), (wheel,) = ((folder / "dist").glob(kind) for kind in ("*.tar.gz", "*.whl"))
    return Built(sdist, wheel)


def published(made: Built) -> Built:
    """Put what was built into dist/, alone."""
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    return Built(*(Path(shutil.copy(each, DIST)) for each in made))


def environment(folder: Path, *wanted: str) -> Path:
    """Make an environment with `wanted` and what it needs in it, not even pip; return its Python."""
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", str(python), "--quiet", "--disable-pip-version-check")
    run(*pip, "install", *wanted)
    return python


def list_what_comes_with_it(python: Path, to: Path) -> None:
    """Write the SBOM, CycloneDX, of an environment in which only the wheel was installed."""
    project = ("--pyproject", str(ROOT / "pyproject.toml"), "--mc-type", "library")
    run(
        *(sys.executable, "-m", "cyclonedx_py", "environment", str(python), *project),
        *("--output-reproducible", "--output-file", str(to)),
    )


def write_sums() -> None:
    """Write SHA256SUMS, which `sha256sum -c` reads."""
    lines = "".join(f"{digest(each)}  {each.name}\n" for each in sorted(DIST.iterdir()))
    (DIST / "SHA256SUMS").write_text(lines, encoding="utf-8")
    print(f"built twice, byte for byte the same:\n{lines}", end="", flush=True)


def tested(made: Built, work: Path) -> int:
    """Run the tests of the sdist against the wheel in an environment of its own; return their exit code."""
    python = environment(work / "tested", f"clawguard-sessions[dev] @ {made.wheel.as_uri()}")
    with tarfile.open(made.sdist) as packed:
        packed.extractall(work / "unpacked", filter="data")
    (tree,) = (work / "unpacked").iterdir()
    put_in_place_of_the_source(python, tree)
    command = [
        str(python),
        "-m",
        "pytest",
        "-q",
        "-n",
        "auto",
        "--dist",
        "loadfile",
        "-p",
        "no:cacheprovider",
    ]
    return subprocess.run([*command, *sys.argv[1:]], cwd=tree, check=False).returncode


def put_in_place_of_the_source(python: Path, tree: Path) -> None:
    """Let what reads the package's files in the tree read those which the wheel has brought."""
    where = run(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    for name in PACKAGE:
        source = tree / name
        shutil.rmtree(source) if source.is_dir() else source.unlink()
        source.symlink_to(Path(where) / name)


def digest(file: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def run(*command: str, within: Path | None = None) -> str:
    """Run a command with a clean path of Python's; return what it printed, or leave with what it said."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=within, env=clean, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
