"""Your settings, in addition to those of `serving`."""

from pydantic import Field

from serving.settings import ServingSettings


class Settings(ServingSettings):
    """Read from the environment and `.env`; list each in `.env.example` and the README too."""

    loans_max_months: int = Field(480, ge=1)
