"""Long poll: an answer as soon as there is something, or when the time is up."""

import math

from fastapi import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving.draining import Draining

from .hub import Unavailable
from .subscription import Left
from .transport import Transport, watched

WAIT = 25  # seconds, unless the client says how long
MOST = 50  # less than a proxy's timeout


class Polling(Transport):
    """`?after=ID&wait=SECONDS`: the messages after an id, and the id to ask with next; without one, only that."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        channel, after = await self.admit(scope)
        seconds = wait(scope)
        draining: Draining = scope["state"]["draining"]
        with self.channels.subscribe(channel, after, beat=False) as subscription:
            frames = []
            async with watched(receive, subscription):
                try:
                    async with draining.timeout(seconds):
                        frames = [*await subscription.next()]
                except (TimeoutError, Left):
                    pass
        if subscription.position is None:
            raise Unavailable("Redis does not answer")
        messages = ",".join(frame.line for frame in frames if '"data":' in frame.line)
        reset = "true" if any('"reset":' in frame.line for frame in frames) else "false"
        body = f'{{"id":"{subscription.position}","reset":{reset},"messages":[{messages}]}}'
        await Response(body, media_type="application/json", headers={"cache-control": "no-store"})(scope, receive, send)


def wait(scope: Scope) -> float:
    """The seconds that the client is willing to wait."""
    given = HTTPConnection(scope).query_params.get("wait", str(WAIT))
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= MOST:
        raise HTTPException(400, f"wait: a number of seconds, at most {MOST}")
    return seconds
