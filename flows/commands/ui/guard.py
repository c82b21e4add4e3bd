"""Prefect's server behind a door: requests under a foreign Host, or from a foreign Origin, get 403.

Prefect takes any Host, and a password alone does not help a browser that holds it: a name of
somebody's that is made to point at this machine (DNS rebinding) is a Host of its own.
Ours, since Starlette's TrustedHostMiddleware looks at no Origin.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Guard:
    """An ASGI application that lets through what was sent to this machine by its own pages."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or _is_ours(Headers(scope=scope)):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # refused with 403
        else:
            refused = PlainTextResponse("Host or Origin is not this machine's loopback", 403)
            await refused(scope, receive, send)


def _is_ours(headers: Headers) -> bool:
    hosts = [f"//{host}" for host in headers.getlist("host")]
    return bool(hosts) and all(_name(url) in LOOPBACK for url in hosts + headers.getlist("origin"))


def _name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:  # brackets that do not close
        return None


def prefect_app() -> ASGIApp:
    """What uvicorn serves, in a process of its own: see `servers.prefect_server`."""
    from prefect.server.api.server import create_app

    return Guard(create_app(final=True))
