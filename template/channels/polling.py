"""Long poll: responds as soon as there are messages, or when the time is up."""

import re
from collections.abc import Sequence

from fastapi import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving.draining import Draining

from .hub import Unavailable
from .message import Frame, Position
from .subscription import Left
from .transport import Transport

WAIT = 25  # seconds, unless the client sets it
LONGEST = 50  # below a proxy's usual timeout
AT_FIRST = 1  # at least, while Redis is asked about a channel or id that this worker does not know


class Polling(Transport):
    """`?after=ID&wait=SECONDS`: the messages after an id, and the next id; without one, only the id to start from."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        seconds = wait(scope)
        draining: Draining = scope.get("state", {}).get("draining") or Draining(0)  # a test may run no lifespan
        frames: Sequence[Frame] = ()
        with await self.subscribe(scope, beat=False) as subscription:
            subscription.watch(receive)
            if subscription in subscription.channel.unsure:
                seconds = max(seconds, AT_FIRST)
            try:
                async with draining.timeout(seconds):
                    frames = await subscription.next()
            except (TimeoutError, Left):
                pass
        if subscription.position is None:
            raise Unavailable("Redis does not answer")
        headers = {"cache-control": "no-store"}
        answer = Response(body(subscription.position, frames), media_type="application/json", headers=headers)
        await answer(scope, receive, send)


def wait(scope: Scope) -> float:
    """The seconds that the client wants to wait."""
    given = HTTPConnection(scope).query_params.get("wait", str(WAIT))
    if not re.fullmatch(r"\d+(\.\d+)?", given) or float(given) > LONGEST:
        raise HTTPException(400, f"wait: a number of seconds, at most {LONGEST}")
    return float(given)


def body(position: Position, frames: Sequence[Frame]) -> str:
    """The response as JSON."""
    messages = ",".join(frame.line for frame in frames if frame.kind == "message")
    reset = "true" if any(frame.kind == "reset" for frame in frames) else "false"
    return f'{{"id":"{position}","reset":{reset},"messages":[{messages}]}}'
