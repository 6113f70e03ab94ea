"""The files of `deploy/`: they say what the server needs, and give it no more. No engine runs here."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from clawguard.server.running import serve

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
MOST_EXPOSED = 2.0  # of 10, by systemd's own reckoning


@pytest.fixture(scope="module")
def dockerfile() -> list[str]:
    """Return its instructions, one a line."""
    text = re.sub(r"\\\n\s*", "", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"))
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def service() -> dict[str, Any]:
    told = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    found: dict[str, Any] = told["services"]["clawguard"]
    assert set(told["volumes"]) == {"state"}
    return found


@pytest.fixture(scope="module")
def unit() -> dict[str, list[str]]:
    """Return the directives of the unit, each with all that is given for it."""
    found: dict[str, list[str]] = {}
    for line in (DEPLOY / "clawguard.service").read_text(encoding="utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([linter, DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_image_runs_as_nobody_special_and_copies_what_is_there(dockerfile: list[str]) -> None:
    users = [line for line in dockerfile if line.startswith("USER ")]
    assert users == ["USER 10001"]
    assert dockerfile.index(users[0]) < next(n for n, each in enumerate(dockerfile) if "ENTRYPOINT" in each)
    assert all("@" in line or ":" in line for line in dockerfile if line.startswith("FROM "))
    for line in dockerfile:
        if line.startswith("COPY ") and "--from" not in line:
            assert all((ROOT / each).exists() for each in line.split()[1:-1]), line
    assert "STOPSIGNAL SIGTERM" in dockerfile


def test_every_file_names_the_port_of_the_server(dockerfile: list[str], service: dict[str, Any]) -> None:
    default = (serve.__kwdefaults__ or {})["port"]
    assert f"EXPOSE {default}" in dockerfile
    assert service["ports"] == [f"127.0.0.1:{default}:{default}"]
    assert str(default) in next(line for line in dockerfile if line.startswith("HEALTHCHECK"))


def test_the_service_can_do_no_more_than_it_must(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert {"mem_limit", "pids_limit", "restart"} <= service.keys()
    assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).exists()


def test_the_admin_token_goes_into_a_file_and_not_into_a_log(
    dockerfile: list[str], unit: dict[str, list[str]]
) -> None:
    assert any("--admin-file" in line for line in dockerfile if line.startswith("CMD"))
    assert "--admin-file" in unit["ExecStart"][0]


def test_the_unit_is_hardened(unit: dict[str, list[str]]) -> None:
    on = {"NoNewPrivileges", "PrivateTmp", "PrivateDevices", "ProtectHome", "DynamicUser", "LockPersonality"}
    assert {name for name in on if unit.get(name) != ["yes"]} == set()
    assert unit["ProtectSystem"] == ["strict"]
    assert unit["CapabilityBoundingSet"] == [""]
    assert unit["UMask"] == ["0077"]
    assert unit["KillSignal"] == ["SIGTERM"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_finds_the_unit_well_formed_and_little_exposed(tmp_path: Path) -> None:
    text = (DEPLOY / "clawguard.service").read_text(encoding="utf-8")
    here = tmp_path / "clawguard.service"
    here.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.M), encoding="utf-8")
    verified = analyze("verify", str(here))
    assert verified.stdout + verified.stderr == ""
    told = analyze("security", "--offline=true", "--no-pager", str(here)).stdout
    exposed = re.search(r"Overall exposure level for \S+ ([0-9.]+)", told)
    assert exposed is not None, told
    assert float(exposed[1]) <= MOST_EXPOSED


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
