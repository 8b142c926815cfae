"""Sockets without channels, on both transports: the rows B050 to B058, B060, and B062 to B064 of the inventory."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

import pytest

from phoenix_channels import ConnectInfo, Endpoint, LongPollOptions, RawSocket, WebSocketOptions
from tests.features.clients import Serve
from tests.features.longpoll import TOKEN_HEADER, ServeNodes, Session, envelope_of
from tests.support.asgi import Refused

PAGE = [("origin", "https://example.com")]
OTHER_PAGE = [("origin", "https://notallowed.com")]


class ParamsSocket(RawSocket):
    """Speaks JSON: answers what it is asked, about the params that it was connected with."""

    def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
        self.params = params

    async def handle_in(self, data: str | bytes) -> str | None:
        if data == "later":
            self.send({"from": "handle_info"})
            return None
        return json.dumps({"you said": repr(data), "params": self.params})

    async def handle_info(self, message: Any) -> None:
        self.push(json.dumps({**message, "transport": self.transport}))


def said(data: str | bytes, **params: object) -> dict[str, Any]:
    return {"you said": repr(data), "params": params}


async def fetch(session: Session) -> list[Any]:
    envelope = await session.get()
    assert envelope["status"] == 200
    return [json.loads(message) for message in envelope["messages"]]


# Over long polling


@pytest.mark.feature("B050")
async def test_long_poll_pages_of_allowed_origins_only(node: ServeNodes, caplog: pytest.LogCaptureFixture) -> None:
    async with node(ParamsSocket, check_origin=["https://example.com"]) as running:
        session = running.session(2)
        assert await session.get(OTHER_PAGE) == {"status": 403}
        assert any("'https://notallowed.com'" in record.getMessage() for record in caplog.records)
        await session.open(PAGE)
    assert [record.levelno for record in caplog.records if record.name == "phoenix_channels"] == [logging.ERROR]


@pytest.mark.feature("B051", "B053")
async def test_long_poll_params_are_there_for_what_is_answered(node: ServeNodes) -> None:
    async with node(ParamsSocket) as running:
        session = await running.opened(2, query="key=value")
        assert await session.post_body(b"params", "text/plain") == 200
        # The token is in the query, of GET and POST alike, and no param of the connect.
        assert await fetch(session) == [said("params", vsn="2.0.0", key="value")]


@pytest.mark.feature("B052")
async def test_long_poll_variables_of_the_path(serve: Serve) -> None:
    endpoint = Endpoint(secret_key_base="k" * 64)
    endpoint.socket("/of/:user/socket", ParamsSocket, longpoll=LongPollOptions(path="/poll/:project"))
    async with serve(endpoint) as server:
        session = Session(server, version=2, path="/of/ada/socket/poll/engine", query="user=eve&key=value")
        await session.open()
        assert await session.post_body(b"params", None) == 200
        # P-003: the path wins over the query.
        assert await fetch(session) == [said("params", vsn="2.0.0", key="value", user="ada", project="engine")]
        await endpoint.drain()


@pytest.mark.feature("B054")
async def test_long_poll_the_token_in_the_header_wins(node: ServeNodes) -> None:
    async with node(ParamsSocket) as running:
        session, other = await running.opened(2, query="key=value"), await running.opened(2)
        assert session.token is not None
        token = [(TOKEN_HEADER, session.token)]
        for query in ("token=bogus", f"token={other.token}", "token[]=a", ""):
            server = running.servers[0]
            posted = await server.request("POST", "/socket/longpoll", query, token, b"params")
            assert envelope_of(posted) == {"status": 200}
            envelope = envelope_of(await server.request("GET", "/socket/longpoll", query, token))
            assert (envelope["status"], envelope["token"]) == (200, session.token)
            assert [json.loads(message) for message in envelope["messages"]] == [
                said("params", vsn="2.0.0", key="value")
            ]


@pytest.mark.feature("B055")
async def test_long_poll_no_response_may_be_stored(node: ServeNodes) -> None:
    async with node(ParamsSocket, window=0.5) as running:
        session = await running.opened(2)
        path, query = "/socket/longpoll", f"token={session.token}"

        async def ask(method: str, query: str, body: bytes = b"", **headers: str) -> int:
            response = await running.servers[0].request(method, path, query, [*headers.items()], body)
            assert response.headers["cache-control"] == "no-store"
            status: int = json.loads(response.body)["status"]
            return status

        assert await ask("GET", "") == 410
        assert await ask("GET", "", origin="https://notallowed.com") == 403
        assert await ask("POST", query, b"params") == 200
        assert await ask("GET", query) == 200
        assert await ask("GET", query) == 204
        assert await ask("POST", "token=bogus", b"params") == 410
        assert await ask("POST", query, b"params", origin="https://notallowed.com") == 403


@pytest.mark.feature("B056")
async def test_long_poll_what_the_socket_pushes_by_itself(node: ServeNodes) -> None:
    async with node(ParamsSocket) as running:
        session = await running.opened(2)
        assert await session.post_body(b"later", None) == 200
        assert await fetch(session) == [{"from": "handle_info", "transport": "longpoll"}]


# Over WebSocket


def make_endpoint(path: str = "/socket", **options: Any) -> Endpoint:
    endpoint = Endpoint()
    endpoint.socket(path, ParamsSocket, **options)
    return endpoint


@pytest.mark.feature("B057")
async def test_a_plain_get_is_told_which_header_it_lacks(serve: Serve) -> None:
    async with serve(make_endpoint()) as server:
        response = await server.request("GET", "/socket/websocket", "key=value")
    assert response.status == 400
    assert "'connection' header must contain 'upgrade'" in response.body.decode()


@pytest.mark.feature("B058")
async def test_pages_of_allowed_origins_only(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    async with serve(make_endpoint(check_origin=["https://example.com"])) as server:
        with pytest.raises(Refused) as refused:
            await server.open(headers=OTHER_PAGE)
        assert (refused.value.status, refused.value.body) == (403, b"")
        assert any("'https://notallowed.com'" in record.getMessage() for record in caplog.records)
        link = await server.open(headers=PAGE)
        await link.send("hello")
        assert await link.receive() == said("hello")


@pytest.mark.feature("B060")
async def test_params_are_there_for_what_is_answered(serve: Serve) -> None:
    async with serve(make_endpoint()) as server:
        link = await server.open(query="key=value&list[]=1")
        await link.send("params")
        assert await link.receive() == said("params", key="value", list=["1"])
        await link.send(b"\x00\xff")
        assert (await link.receive())["you said"] == repr(b"\x00\xff")


@pytest.mark.feature("B062")
async def test_what_the_socket_pushes_by_itself(serve: Serve) -> None:
    async with serve(make_endpoint()) as server:
        link = await server.open()
        await link.send("later")
        assert await link.receive() == {"from": "handle_info", "transport": "websocket"}


@pytest.mark.feature("B063")
async def test_the_path_of_the_transport_may_have_several_segments(serve: Serve) -> None:
    async with serve(make_endpoint(websocket=WebSocketOptions(path="/nested/path"))) as server:
        link = await server.open("/socket/nested/path", "key=value")
        await link.send("params")
        assert await link.receive() == said("params", key="value")
        for path in ("/socket/websocket", "/socket/nested", "/socket/nested/path/more"):
            assert (await server.request("GET", path)).status == 404


@pytest.mark.feature("B064")
async def test_variables_of_the_path(serve: Serve) -> None:
    endpoint = make_endpoint("/of/:user/:_ignored", websocket=WebSocketOptions(path="/project/:project"))
    async with serve(endpoint) as server:
        link = await server.open("/of/ada/socket/project/the%20engine", "user=eve&key=value")
        await link.send("params")
        assert await link.receive() == said("params", key="value", user="ada", project="the engine")
