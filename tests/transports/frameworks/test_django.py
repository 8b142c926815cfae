"""Django: the endpoint beside it, in one ASGI application, with broadcasts from its views."""

from __future__ import annotations

import threading
from types import ModuleType
from typing import Any

import django
import httpx
import pytest
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from phoenix_channels import Endpoint
from tests.transports.app import Journal
from tests.transports.clients import ask, connect
from tests.transports.servers import Run

urls: Any = ModuleType("urls_of_a_django_project")


@pytest.fixture(scope="module")
def django_application() -> Any:
    """The ASGI application of a small project; Django can be set up once in a process."""
    settings.configure(SECRET_KEY="secret", ALLOWED_HOSTS=["*"], ROOT_URLCONF=urls, DEBUG=False)
    django.setup(set_prefix=False)
    return get_asgi_application()


@pytest.fixture
def application(endpoint: Endpoint, django_application: Any) -> Any:
    async def async_view(request: HttpRequest) -> HttpResponse:
        endpoint.broadcast("room:a", "async view", {})
        return HttpResponse("async")

    def view(request: HttpRequest) -> HttpResponse:
        endpoint.broadcast("room:a", "view", {})
        return JsonResponse({"thread": threading.get_ident()})

    urls.urlpatterns = [path("view/", view), path("async/", async_view)]
    django.urls.clear_url_caches()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        # What a project writes in its asgi.py.
        mine = scope["type"] != "http" or scope["path"].startswith("/socket/")
        await (endpoint if mine else django_application)(scope, receive, send)

    return application


async def test_beside(
    *,
    application: Any,
    endpoint: Endpoint,
    journal: Journal,
    http: httpx.AsyncClient,
    run: Run,
    stopped: tuple[str, str],
) -> None:
    async with run(application) as (server, port):
        base = f"http://127.0.0.1:{port}"
        async with connect(port) as client:
            await client.join("room:a")
            response = await http.get(f"{base}/view/")
            assert response.json()["thread"] != threading.get_ident()
            assert await client.receive() == [None, None, "room:a", "view", {}]
            assert (await http.get(f"{base}/async/")).text == "async"
            assert await client.receive() == [None, None, "room:a", "async view", {}]
            assert (await http.get(f"{base}/nowhere/")).status_code == 404
            assert (await http.get(f"{base}/socket/websocket")).status_code == 400
            assert (await ask(port, "/socket/websocket?connect=refuse")).status == 403
            assert (await ask(port, "/view/")).status == 404
            server.should_exit = True
            assert await client.close_code() == 1012
    assert journal.terminated == [("room:a", stopped)]
    assert endpoint.health().draining
