"""Channels beside Django.  Run it: ``uvicorn examples.mounting.django_asgi:application``."""

# pyright: basic
# Django has no annotations.

from typing import Any

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

from examples.quickstart.server import UserSocket
from phoenix_channels import Endpoint

endpoint = Endpoint()
endpoint.socket("/socket", UserSocket)


def say(request: HttpRequest) -> HttpResponse:
    endpoint.broadcast("room:lobby", "new_message", {"body": request.GET["text"]})
    return HttpResponse(status=204)


urlpatterns = [path("say", say)]

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["localhost", "127.0.0.1"])
django = get_asgi_application()


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Django serves HTTP; the endpoint serves WebSocket and is told when the server starts and ends."""
    app = django if scope["type"] == "http" else endpoint
    await app(scope, receive, send)
