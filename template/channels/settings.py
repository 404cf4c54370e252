"""The settings of channels, read as those of serving are."""

from typing import Self

from pydantic import Field, RedisDsn, SecretStr, model_validator
from pydantic_settings import BaseSettings

from serving.settings import ServingSettings


class ChannelSettings(BaseSettings):
    """Where channels are kept, and how much of everything there may be."""

    model_config = ServingSettings.model_config

    redis_url: RedisDsn | None = None
    publish_token: SecretStr | None = None
    channel_history: int = Field(1000, ge=1)
    channel_history_seconds: int = Field(3600, ge=1)
    channel_queue: int = Field(500, ge=1)
    channel_message_bytes: int = Field(64_000, ge=1)  # with its id less than 64 KiB, of which many clients take no more
    channel_heartbeat_seconds: int = Field(20, ge=1)
    max_channels: int = Field(1000, ge=1)
    max_subscribers: int = Field(900, ge=1)

    @model_validator(mode="after")
    def _check_queue(self) -> Self:
        if self.channel_queue > self.channel_history:
            raise ValueError("CHANNEL_QUEUE must not be more than CHANNEL_HISTORY, from which subscribers are served")
        return self
