"""The settings of `serving`: from the environment, `.env`, secret files, or else these defaults, in this order."""

import os
import re
import sys
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BeforeValidator, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from .hosts import NAME
from .processors import processors

Names = Annotated[
    tuple[str, ...],
    NoDecode,
    BeforeValidator(lambda given: [name.strip() for name in given.split(",")] if isinstance(given, str) else given),
]

# Folders of secrets, each in a file named after its setting: systemd's, and the usual one in containers.
SECRETS = [folder for folder in (os.getenv("CREDENTIALS_DIRECTORY", ""), "/run/secrets") if os.path.isdir(folder)]


class ServingSettings(BaseSettings):
    """How the service listens, stops and logs, and what it rejects."""

    model_config = SettingsConfigDict(
        env_file=os.getenv("ENV_FILE", ".env"), secrets_dir=SECRETS, env_ignore_empty=True, extra="ignore", frozen=True
    )

    environment: Literal["production", "development"] = "production"
    host: str = Field(default_factory=lambda data: "127.0.0.1" if _development(data) else "0.0.0.0")
    port: int = Field(8000, ge=1, le=65535)
    unix_socket: Path | None = None
    trusted_proxies: Names = ()
    root_path: str = Field("", pattern=r"^(/[a-zA-Z0-9._~-]+)*$")
    # :: if telemetry == "full"
    metrics_port: int = Field(9464, ge=1, le=65535)
    # :: endif
    web_concurrency: int = Field(default_factory=lambda data: 1 if _development(data) else processors(), ge=1)
    drain_seconds: int = Field(default_factory=lambda data: 1 if _development(data) else 25, ge=1)
    worker_timeout: int = Field(30, ge=1)
    max_requests: int = Field(0, ge=0)
    max_concurrency: int = Field(1000, ge=1)
    max_body_bytes: int = Field(1024 * 1024, ge=0)
    header_seconds: int = Field(10, ge=1)
    keep_alive_seconds: int = Field(75, ge=1)
    max_message_bytes: int = Field(1024 * 1024, ge=1)
    # :: if server in ("gunicorn", "uvicorn")
    websocket_compression: bool = False
    # :: endif
    allowed_hosts: Names = ("*",)
    cors_origins: Names = ()
    hsts_seconds: int = Field(0, ge=0)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @field_validator("trusted_proxies")
    @classmethod
    def _check_addresses(cls, given: Names) -> Names:
        for name in {*given} - {"unix"}:
            ip_network(name)
        return given

    @field_validator("allowed_hosts")
    @classmethod
    def _check_hosts(cls, given: Names) -> Names:
        for name in given:
            if name != "*" and not re.fullmatch(NAME, name.removeprefix("*.")):
                raise ValueError(f"{name!r}: a host is a name without a port, *.example.com, or *")
        return given

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, given: Names) -> Names:
        for name in given:
            if name != "*" and not re.fullmatch(r"[a-z][a-z\d+.-]*://[^/]+", name):
                raise ValueError(f"{name!r}: an origin is https://example.com, without a path or a final slash, or *")
        return given

    @property
    def development(self) -> bool:
        """API documentation, readable logs, one worker, reachable from this machine only."""
        return self.environment == "development"


def _development(data: dict[str, object]) -> bool:
    return data.get("environment") == "development"


Settings = TypeVar("Settings", bound=BaseSettings)
CANNOT_START = 3  # the exit status at which a master gives up; after any other it starts another worker


def load(settings: type[Settings]) -> Settings:
    """Read the settings; an invalid value ends the process with CANNOT_START and a line that names it."""
    try:
        return settings()
    except (SettingsError, OSError, UnicodeDecodeError) as error:  # a secret file, or else .env, cannot be read
        print(f"{error}: {error.__cause__ or settings.model_config['env_file']}", file=sys.stderr)
        raise SystemExit(CANNOT_START) from None
    except ValidationError as error:
        for wrong in error.errors():
            if wrong["type"] != "default_factory_not_called":  # a consequence of another error
                # Without the value, which may be a secret.
                name = (settings.model_config["env_nested_delimiter"] or "_").join(map(str, wrong["loc"])).upper()
                problem = "not set, and has no default" if wrong["type"] == "missing" else wrong["msg"]
                print(f"{name}: {problem}" if name else problem, file=sys.stderr)
        raise SystemExit(CANNOT_START) from None
