"""Settings: from options, `CLAWGUARD_*`, a secret directory, `clawguard.toml`, or defaults, in this order."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

from clawguard.checks import is_token
from clawguard.cli.values import seconds_of
from clawguard.errors import ConfigError, InvalidArgument
from clawguard.guard.encoding import b64decode
from clawguard.private_files import read_private

__all__ = ["FILE_NAME", "Settings", "load_settings"]

FILE_NAME = "clawguard.toml"
_PREFIX = "CLAWGUARD_"
_LONGEST_FILE = 1_048_576
_LONGEST_TOKENS = 65_536
_SECRETS = {"kek": "key-encryption key", "token": "token"}


def _seconds(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return seconds_of(value, argument="duration")
    except InvalidArgument as error:
        raise ValueError(f"{error.message.partition(': ')[2]} ({error.hint})") from None


def _names(value: object) -> object:
    return value.replace(",", " ").split() if isinstance(value, str) else value


Seconds = Annotated[float, BeforeValidator(_seconds)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)]


class Settings(BaseSettings):
    """Hold what the commands open a database with; the descriptions are the reference."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        extra="forbid",
        frozen=True,
        env_ignore_empty=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )

    url: str = Field(
        ".clawguard/clawguard.db",
        description="the database: a path, a `sqlite:///` or `postgresql://` URL; or the `https://` of "
        "a `clawguard serve`",
    )
    token: SecretStr | None = Field(
        None, description="the caller's own token, for the commands at a server; never in the file"
    )
    token_file: Path | None = Field(
        None, description="a file (0600) with that token in its first line, such as `--out` writes"
    )
    audience: str | None = Field(
        None, description="the audience that a new database is founded with; it must fit that of an older one"
    )
    audiences: Names = Field(
        (), description="further audiences that tokens may be for, apart by blanks or commas"
    )
    workspace: str = Field("default", description="the workspace of commands without `--workspace`")
    kek: SecretStr | None = Field(
        None, description="the key-encryption key: 32 bytes in unpadded base64url; never in the file"
    )
    kek_file: Path | None = Field(
        None, description="the file of the key-encryption key, by default beside the database"
    )
    max_sessions_per_agent: int | None = Field(
        None, description="how many live sessions an agent may have in a workspace"
    )
    at_limit: Literal["deny", "evict_oldest"] = Field("deny", description="what becomes of one session more")
    refresh_idle: Seconds = Field(
        3_600.0, description="when a refreshable session ends after its last redeem"
    )
    refresh_grace: Seconds = Field(
        10.0, description="how long a spent refresh token gives the same answer again"
    )
    lock_timeout: Seconds = Field(5.0, description="how long a write waits for others")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # no .env file is read
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # its folder comes with the call
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let options win over the environment, that over the secret directory, that over the file."""
        given = init_settings() if init_settings is not None else {}
        from_file = InitSettingsSource(settings_cls, init_kwargs=given.pop("from_file", {}))
        secrets = SecretsSettingsSource(settings_cls, secrets_dir=given.pop("secrets_dir", None))
        options = InitSettingsSource(settings_cls, init_kwargs=given)
        return options, env_settings, secrets, from_file

    def caller_token(self) -> str:
        """Return the caller's token for a server; raise ConfigError where there is none."""
        if self.token is not None:
            return self.token.get_secret_value().strip()
        how = f"give the caller's own in {_PREFIX}TOKEN, or name its file in {_PREFIX}TOKEN_FILE"
        if self.token_file is None:
            raise ConfigError("a server answers only whom it knows by a token", hint=how)
        text = read_private(self.token_file, name="token file", longest=_LONGEST_TOKENS)
        first = (text or b"").decode("utf-8", "replace").split("\n")[0].strip()
        if not is_token(first):
            what = "there is no token in" if text else "there is no file"
            raise ConfigError(f"{what} {self.token_file}", hint=how)
        return first

    def kek_source(self) -> bytes | Path | None:
        """Return what `open(kek=…)` takes; raise ConfigError for a key that is none."""
        if self.kek is None:
            return self.kek_file
        key = b64decode(self.kek.get_secret_value().strip().encode("ascii", "replace"))
        if key is None or len(key) != 32:
            raise ConfigError(f"{_PREFIX}KEK must be 32 bytes in unpadded base64url")
        return key


def load_settings(
    *, url: str | None = None, config: Path | None = None, secrets_dir: Path | None = None
) -> tuple[Settings, Path | None]:
    """Return the settings, and the file that was read if there was one.

    The file is `config`, else `CLAWGUARD_CONFIG`, else `clawguard.toml` in the working folder if it is there;
    the secret directory `secrets_dir`, else `CLAWGUARD_SECRETS_DIR`. Raises ConfigError.
    """
    named = config or _variable("CONFIG")
    path = named or Path(FILE_NAME)
    found = path.exists()
    if named is not None and not found:
        raise ConfigError(f"there is no file {named}", hint="see --config and CLAWGUARD_CONFIG")
    secrets = secrets_dir or _variable("SECRETS_DIR")
    if secrets is not None and not secrets.is_dir():
        raise ConfigError(f"there is no folder {secrets}", hint="see --secrets-dir and CLAWGUARD_SECRETS_DIR")
    given: dict[str, Any] = {"from_file": _read(path) if found else {}, "secrets_dir": secrets}
    if url is not None:
        given["url"] = url
    try:
        return Settings(**given), path if found else None
    except ValidationError as error:
        raise _fault(error, path if found else None) from None


def _variable(name: str) -> Path | None:
    value = os.environ.get(_PREFIX + name)
    return Path(value) if value else None


def _read(path: Path) -> dict[str, Any]:
    """Read the file; its paths count from its own folder."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise ConfigError(f"others may write {path}", hint=f"chmod go-w {path}")
            values = tomllib.loads(file.read(_LONGEST_FILE).decode())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "it is not UTF-8"
        raise ConfigError(f"{path} is no TOML file: {reason}") from None
    for name, what in _SECRETS.items():
        if name in values:
            hint = f"give it in {_PREFIX}{name.upper()} or a secret directory"
            raise ConfigError(f"{path} holds a {what}", hint=hint)
    folder = path.parent
    for name in ("kek_file", "token_file"):
        if isinstance(values.get(name), str):
            values[name] = folder / values[name]
    url = values.get("url")
    if isinstance(url, str) and "://" not in url and url != ":memory:":
        values["url"] = os.fspath(folder / url)
    return values


def _fault(error: ValidationError, path: Path | None) -> ConfigError:
    """Name the setting at fault, and where it came from as far as that can be told; never its value."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    name = str(first["loc"][0]) if first["loc"] else "settings"
    if first["type"] == "extra_forbidden":
        known = ", ".join(Settings.model_fields)
        return ConfigError(f"{path}: {name[:64]!r} is no setting", hint=f"the settings are {known}")
    in_environment = _PREFIX + name.upper()
    place = in_environment if os.environ.get(in_environment) else f"the setting {name}"
    said = first["msg"].removeprefix("Value error, ")
    return ConfigError(f"{place}: {said[:1].lower()}{said[1:]}")
