"""The token that phoenix.js sends beside its connect: the row C14 of the inventory."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import pytest

from phoenix_channels import ConnectInfo, Socket
from tests.features.app import Curious
from tests.features.clients import Serve
from tests.features.longpoll import ServeNodes
from tests.support.asgi import Refused
from tests.transports import servers
from tests.transports.clients import ask

PATH = "/socket/websocket?vsn=2.0.0"


def bearer(token: str) -> str:
    return "base64url.bearer.phx." + b64encode(token.encode()).decode().rstrip("=")


@pytest.mark.feature("C14")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("listen", [servers.fast_server, servers.uvicorn_server])
@pytest.mark.parametrize(
    ("offered", "token", "selected"),
    [
        (f"phoenix, {bearer('secret')}", "secret", "phoenix"),
        (f"{bearer('secret')}, phoenix", "secret", "phoenix"),
        (bearer("secret"), "secret", None),
        ("phoenix", None, "phoenix"),
        (None, None, None),
        (f"{bearer('one')}, phoenix, {bearer('two')}", None, "phoenix"),
    ],
    ids=["token last", "token first", "token only", "missing", "nothing offered", "twice"],
)
async def test_what_a_client_offers(
    listen: servers.Serve,
    offered: str | None,
    token: str | None,
    selected: str | None,
) -> None:
    curious = Curious(auth_token=True, connect_info=["sec_websocket_headers"])
    async with listen(curious.endpoint) as port:
        response = await ask(port, PATH, sec_websocket_protocol=offered)
    assert response.status == 101
    assert response.headers.get("sec-websocket-protocol") == selected
    (info,) = curious.infos
    assert info.auth_token == token
    assert "bearer" not in str(info.sec_websocket_headers)


@pytest.mark.feature("C14")
@pytest.mark.parametrize("offered", ["phoenix, base64url.bearer.phx.***", "graphql", f"graphql, {bearer('secret')}"])
async def test_what_cannot_be_decoded_or_selected_is_refused(serve: Serve, offered: str) -> None:
    curious = Curious(auth_token=True)
    async with serve(curious.endpoint) as server:
        with pytest.raises(Refused) as refused:
            await server.connect(2, headers=[("sec-websocket-protocol", offered)])
    assert refused.value.status == 403
    assert curious.infos == []


@pytest.mark.feature("C14")
async def test_without_the_option_there_is_no_token(serve: Serve) -> None:
    curious = Curious()
    async with serve(curious.endpoint) as server:
        await server.connect(2, headers=[("sec-websocket-protocol", f"phoenix, {bearer('secret')}")])
    (info,) = curious.infos
    with pytest.raises(AttributeError, match="auth_token=True"):
        _ = info.auth_token


@pytest.mark.feature("C14")
@pytest.mark.parametrize(("headers", "token"), [([("x-phoenix-authtoken", "raw/token=")], "raw/token="), ([], None)])
async def test_over_long_polling_it_comes_in_a_header(
    nodes: ServeNodes, headers: list[tuple[str, str]], token: str | None
) -> None:
    class TokenSocket(Socket):
        tokens: list[str | None] = []

        def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
            self.tokens.append(info.auth_token)

    async with nodes(TokenSocket, auth_token=True) as running:
        session = await running.opened(2, headers=headers)
        # P-021: it is read when the session is made, and never again.
        await session.send("phoenix", "heartbeat")
        assert (await session.get([("x-phoenix-authtoken", "another")]))["status"] == 200
    assert TokenSocket.tokens == [token]
