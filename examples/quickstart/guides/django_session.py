"""The session of a Django page in ``connect``.

Run it: ``uvicorn examples.quickstart.guides.django_session:application``.
"""

# pyright: basic
# Django has no annotations.

import secrets
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.urls import path

from examples.quickstart.server import RoomChannel
from phoenix_channels import ConnectInfo, ConnectRefused, Endpoint, SessionOptions, Socket

settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],
    SECRET_KEY="a secret of fifty characters, as startproject makes",  # noqa: S106
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
)
django = get_asgi_application()


# Start: page
def page(request: Any) -> HttpResponse:
    """The page, whose script reads the token and hands it over when it connects."""
    token = request.session.setdefault("_csrf_token", secrets.token_urlsafe())
    return HttpResponse(f'<meta name="csrf-token" content="{token}">'.encode())


# End: page


def log_in(request: Any) -> HttpResponse:
    request.session["user_id"] = request.GET["user_id"]  # a real one asks for a password
    return HttpResponse(status=204)


urlpatterns = [path("", page), path("login", log_in)]

# Start: session
SessionStore = import_module(settings.SESSION_ENGINE).SessionStore


async def load(cookies: Mapping[str, str]) -> Mapping[str, Any] | None:
    key = cookies.get(settings.SESSION_COOKIE_NAME)
    return None if key is None else await SessionStore(key).aload()


class UserSocket(Socket):
    channels = {"room:*": RoomChannel}

    def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
        if info.session is None or "user_id" not in info.session:
            raise ConnectRefused
        self.user_id: str = info.session["user_id"]


endpoint = Endpoint()
endpoint.socket("/socket", UserSocket, connect_info=["session"], session=SessionOptions(load=load))
# End: session


async def application(scope: Any, receive: Any, send: Any) -> None:
    app = django if scope["type"] == "http" else endpoint
    await app(scope, receive, send)
