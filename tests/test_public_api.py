"""What users get: the public names, and a wheel with everything in it."""

from __future__ import annotations

import inspect
import subprocess
import sys
import tomllib
import types
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import clawguard

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def order(name: str) -> tuple[int, str]:
    """Sort as ruff does: CONSTANTS, Classes, functions."""
    if name.isupper():
        return 0, name
    return (1 if name[0].isupper() else 2), name


def members_of(cls: type) -> list[tuple[str, object]]:
    """Return a class's own public methods and properties."""
    kinds = (types.FunctionType, classmethod, staticmethod, property)
    return [
        (name, each)
        for name, each in vars(cls).items()
        if not name.startswith("_") and isinstance(each, kinds)
    ]


def test_public_names_are_few_and_sorted() -> None:
    assert len(clawguard.__all__) <= 30
    assert len(set(clawguard.__all__)) == len(clawguard.__all__)
    assert list(clawguard.__all__) == sorted(clawguard.__all__, key=order)


def test_the_package_holds_nothing_beside_its_public_names() -> None:
    names = {
        name
        for name, each in vars(clawguard).items()
        if not name.startswith("_") and not inspect.ismodule(each)
    } - {"annotations"}
    assert names == set(clawguard.__all__)


@pytest.mark.parametrize("name", clawguard.__all__)
def test_every_public_name_is_there_and_says_what_it_is(name: str) -> None:
    each = getattr(clawguard, name)
    if not (inspect.isclass(each) or inspect.isroutine(each)):
        return
    text = (each.__doc__ or "").strip()
    assert text, f"{name} has no docstring"
    assert not text.startswith(f"{name}("), f"{name} has only the docstring that dataclass makes"
    if inspect.isclass(each):
        bare = [member for member, value in members_of(each) if not (inspect.getdoc(value) or "").strip()]
        assert not bare, f"{name} has members without a docstring"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Build the wheel with the backend that is installed beside the tests: no network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    (made,) = folder.glob("*.whl")
    return zipfile.ZipFile(made)


def read(wheel: zipfile.ZipFile, name: str) -> str:
    (path,) = (path for path in wheel.namelist() if path.endswith(f".dist-info/{name}"))
    return wheel.read(path).decode()


def test_the_wheel_holds_the_whole_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    kinds = {".py", ".sql", ".typed", ".html", ".css", ".js", ".svg", ".md", ".LICENSE"}
    source = {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "clawguard").rglob("*") if path.suffix in kinds
    }
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == source | {"clawguard_pytest.py"}
    assert "clawguard/py.typed" in packed
    assert any(name.endswith(".sql") for name in packed)
    assert {f"clawguard/server/console/static/{name}.LICENSE" for name in ("htmx", "uplot")} <= packed


def test_the_wheel_says_what_the_project_says(wheel: zipfile.ZipFile) -> None:
    metadata = Parser().parsestr(read(wheel, "METADATA"))
    assert metadata["Name"] == PROJECT["name"] == "clawguard-sessions"
    assert metadata["Version"] == PROJECT["version"]
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert read(wheel, "licenses/LICENSE") == (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "clawguard = clawguard.cli:main" in read(wheel, "entry_points.txt")
    assert "[pytest11]\nclawguard = clawguard_pytest" in read(wheel, "entry_points.txt")
    required = {line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line}
    names = {line.replace("[", "<").replace(">", "<").split("<")[0] for line in required}
    assert names == {"pyjwt", "cryptography", "blinker", "cachetools", "pydantic"}
