"""The settings of `channels`, read like those of `serving`."""

import re
from typing import Self

from pydantic import Field, RedisDsn, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings

from serving.settings import ServingSettings

from .connection import connect


class ChannelSettings(BaseSettings):
    """Where channels are kept, and their limits."""

    model_config = ServingSettings.model_config

    redis_url: RedisDsn | None = None
    publish_token: SecretStr | None = None
    channel_history: int = Field(1000, ge=1)
    channel_history_seconds: int = Field(3600, ge=1)
    channel_queue: int = Field(500, ge=1)
    channel_message_bytes: int = Field(64_000, ge=1)  # below 64 KiB with its id, the most that many clients accept
    channel_heartbeat_seconds: int = Field(20, ge=1)
    max_channels: int = Field(1000, ge=1)
    max_subscribers: int = Field(900, ge=1)

    @field_validator("redis_url")
    @classmethod
    def _check_url(cls, given: RedisDsn | None) -> RedisDsn | None:
        if given:
            if not re.fullmatch(r"/\d*", given.path or "/"):  # redis-py would take any other for database 0
                raise ValueError("its path must be a database number: redis://HOST:6379/0")
            try:
                pool = connect(str(given)).connection_pool
                pool.connection_class(**pool.connection_kwargs)  # not opened
            except Exception as error:
                raise ValueError(f"redis-py does not accept it: {error}") from None
        return given

    @model_validator(mode="after")
    def _check_queue(self) -> Self:
        if self.channel_queue > self.channel_history:
            raise ValueError("CHANNEL_QUEUE must not be more than CHANNEL_HISTORY, from which subscribers are served")
        return self
