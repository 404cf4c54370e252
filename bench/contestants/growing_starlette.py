"""Starlette with so many routes, and middlewares that do nothing: `ROUTES`, `PURE` and `BASE` (BaseHTTPMiddleware)."""

import os

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route


class Pure:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        await self.app(scope, receive, send)


class Base(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        return await call_next(request)


def size(name: str) -> int:
    return int(os.environ.get(name, 0))


async def plain(request):
    return PlainTextResponse("up")


async def answer(request):
    return JSONResponse({"id": request.path_params["id"]})


app = Starlette(
    routes=[Route("/plain", plain)]
    + [Route(f"/route{number}/{{id:int}}", answer) for number in range(size("ROUTES") or 1)],
    middleware=[Middleware(Pure)] * size("PURE") + [Middleware(Base)] * size("BASE"),
)
