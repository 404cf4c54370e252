"""Your settings, beside those that `serving` brings."""

from pydantic import Field

from serving.settings import ServingSettings


class Settings(ServingSettings):
    """What the service reads from its environment and `.env`; named in `.env.example` and the README too."""

    loans_max_months: int = Field(480, ge=1)
