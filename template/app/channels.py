"""The channels of this service (`await channels.publish("orders", order)` anywhere in `app/`), and who may use them."""

from secrets import compare_digest

from fastapi import HTTPException
from starlette.requests import HTTPConnection

from app.settings import Settings
from channels.hub import Channels
from channels.settings import ChannelSettings
from channels.transport import Action
from serving.settings import load

settings = load(Settings)
channel_settings = load(ChannelSettings)
channels = Channels(channel_settings, workers=settings.web_concurrency)


async def authorize(connection: HTTPConnection, channel: str, action: Action) -> None:
    """Raise an HTTPException to refuse; called for each long poll, event stream, WebSocket and POST.

    As written, anyone may subscribe, and publishing takes PUBLISH_TOKEN; in development without one, anyone may publish.
    """
    token = channel_settings.publish_token
    if action == "subscribe" or (settings.development and not token):
        return
    scheme, _, given = connection.headers.get("authorization", "").partition(" ")
    # Starlette decodes header bytes as Latin-1, whatever they are.
    right = token and compare_digest(given.encode("latin-1"), token.get_secret_value().encode())
    if not right or scheme.lower() != "bearer":
        raise HTTPException(403, "to publish, send PUBLISH_TOKEN: Authorization: Bearer TOKEN")
