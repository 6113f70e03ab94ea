"""Settings: which source wins, and that a fault is named without what it held."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clawguard import ConfigError
from clawguard.cli.settings import Settings, load_settings
from tests.cli.commands import Cli

KEK = base64.urlsafe_b64encode(bytes(range(32))).decode().rstrip("=")
SOURCES = ("option", "environment", "secret", "file")


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=16)
@given(given_in=st.sets(st.sampled_from(SOURCES)))
def test_the_first_source_that_says_something_counts(given_in: set[str], empty: Cli) -> None:
    secrets = empty.folder / "secrets"
    secrets.mkdir(exist_ok=True)
    for file in (secrets / "clawguard_url", empty.folder / "clawguard.toml"):
        file.unlink(missing_ok=True)
    if "secret" in given_in:
        write(secrets / "clawguard_url", "/secret")
    if "file" in given_in:
        write(empty.folder / "clawguard.toml", 'url = "/file"')
    with pytest.MonkeyPatch.context() as patch:
        if "environment" in given_in:
            patch.setenv("CLAWGUARD_URL", "/environment")
        option = "/option" if "option" in given_in else None
        found, _ = load_settings(url=option, secrets_dir=secrets)
    first = next((each for each in SOURCES if each in given_in), None)
    assert found.url == (f"/{first}" if first else Settings.model_fields["url"].default)


def test_paths_in_the_file_count_from_its_folder(empty: Cli) -> None:
    folder = empty.folder / "elsewhere"
    folder.mkdir()
    file = write(folder / "my.toml", 'url = "db/x.db"\nkek_file = "kek"\nlock_timeout = "1m30s"\n')
    found, read = load_settings(config=file)
    assert (found.url, found.kek_file, found.lock_timeout) == (str(folder / "db/x.db"), folder / "kek", 90)
    assert read == file


@pytest.mark.parametrize("url", [":memory:", "sqlite:///relative.db", "/absolute.db"])
def test_a_url_that_is_no_relative_path_stays_as_it_is(url: str, empty: Cli) -> None:
    write(empty.folder / "clawguard.toml", f'url = "{url}"')
    assert load_settings()[0].url == url


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('ulr = "x"', "'ulr' is no setting"),
        ("url = 3", "the setting url"),
        ('at_limit = "explode"', "the setting at_limit"),
        ('lock_timeout = "5x"', "is no duration"),
        ("lock_timeout = nan", "the setting lock_timeout"),
        ("url = ", "is no TOML file"),
        (f'kek = "{KEK}"', "holds a key-encryption key"),
    ],
)
def test_a_fault_in_the_file_is_named(text: str, said: str, empty: Cli) -> None:
    write(empty.folder / "clawguard.toml", text)
    with pytest.raises(ConfigError) as refused:
        load_settings()
    assert said in refused.value.message
    assert KEK not in str(refused.value)


def test_a_fault_in_the_environment_is_named_without_its_value(
    empty: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAWGUARD_MAX_SESSIONS_PER_AGENT", "hunter2")
    with pytest.raises(ConfigError, match="CLAWGUARD_MAX_SESSIONS_PER_AGENT") as refused:
        load_settings()
    assert "hunter2" not in str(refused.value)


def test_a_file_that_others_may_write_is_refused(empty: Cli) -> None:
    write(empty.folder / "clawguard.toml", 'url = "x"').chmod(0o620)
    with pytest.raises(ConfigError, match="others may write"):
        load_settings()


def test_what_is_named_must_be_there(empty: Cli) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        load_settings(config=Path("none.toml"))
    with pytest.raises(ConfigError, match="there is no folder"):
        load_settings(secrets_dir=Path("none"))


def test_lists_are_apart_by_blanks_or_commas(empty: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAWGUARD_AUDIENCES", "mail, billing  shop")
    assert load_settings()[0].audiences == ("mail", "billing", "shop")


def test_the_key_comes_from_a_secret_directory(empty: Cli) -> None:
    secrets = empty.folder / "secrets"
    secrets.mkdir()
    write(secrets / "clawguard_kek", f"{KEK}\n")
    found, _ = load_settings(secrets_dir=secrets)
    assert found.kek_source() == bytes(range(32))
    assert KEK not in repr(found)
    empty("--secrets-dir", "secrets", "init")
    assert not (empty.folder / ".clawguard" / "clawguard.db-kek").exists()
    empty("--secrets-dir", "secrets", "create", "planner")
    assert "is missing" in empty("list", code=6).err


@pytest.mark.parametrize("key", ["short", KEK + "=", "é" * 43])
def test_a_key_that_is_none_is_refused_without_showing_it(
    key: str, empty: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAWGUARD_KEK", key)
    refused = empty("init", code=6).err
    assert "CLAWGUARD_KEK must be 32 bytes" in refused
    assert key not in refused
