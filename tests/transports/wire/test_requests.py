"""What ``connect`` learns of a request, over the wire (P-001 to P-006, P-025, P-026, P-028)."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from phoenix_channels import URI, ConnectInfo, Endpoint, PeerData, Socket
from tests.transports.app import Journal, make_endpoint, socket_class
from tests.transports.clients import V2, ask, connect, connect_raw
from tests.transports.servers import Serve

CERTIFICATE = Path(__file__).parent.with_name("localhost.pem")


@pytest.fixture(autouse=True)
def before(journal: Journal) -> None:
    journal.connects.clear()


@pytest.mark.parametrize("path", ["/socket/websocket", "/socket/websocket/", "//socket//websocket"])
async def test_paths(port: int, path: str) -> None:
    async with connect(port, path=path) as client:
        await client.join("room:path")


@pytest.mark.parametrize(
    ("query", "params"),
    [
        ("", {}),
        ("vsn=1.0.0&a=1&b=", {"vsn": "1.0.0", "a": "1", "b": ""}),
        ("a=%C3%A4+%2B&b", {"a": "ä +", "b": ""}),
        ("a[b]=c&a[d][e]=f&l[]=1&l[]=2", {"a": {"b": "c", "d": {"e": "f"}}, "l": ["1", "2"]}),
        # As phoenix.js writes a list.
        ("list%5B0%5D=a&list%5B1%5D=b", {"list": {"0": "a", "1": "b"}}),
        ("k=1&k=2", {"k": "2"}),
        ("a=%zz&b=%4&c=100%", {"a": "%zz", "b": "%4", "c": "100%"}),
        ("a=1?b=2&c=/", {"a": "1?b=2", "c": "/"}),
        ("&&a=1&", {"a": "1"}),
    ],
)
async def test_params(port: int, journal: Journal, query: str, params: Mapping[str, Any]) -> None:
    async with connect_raw(port, query=query):
        pass
    assert [params for params, _ in journal.connects] == [params]


async def test_a_long_query(port: int, journal: Journal) -> None:
    # All that the servers take: they allow lines of 8192 bytes.
    token = "t" * 8000
    async with connect(port, query=f"{V2}&token={token}"):
        pass
    assert journal.connects[0][0] == {"vsn": "2.0.0", "token": token}


async def test_the_info_of_a_connection(port: int, journal: Journal) -> None:
    async with connect(port, user_agent_header="some browser") as client:
        local = client.connection.local_address
    (_, info), = journal.connects  # fmt: skip
    assert info == ConnectInfo(
        uri=URI("http", "127.0.0.1", port, "/socket/websocket", "vsn=2.0.0"),
        peer_data=PeerData("127.0.0.1", local[1]),
        user_agent="some browser",
    )
    response = await ask(port, "/socket/websocket", host="example.com", cookie="secret")
    assert response.status == 101
    _, info = journal.connects[1]
    assert info.uri == URI("http", "example.com", 80, "/socket/websocket", "")
    assert info.user_agent is None
    assert "secret" not in repr(info)


async def test_tls(serve: Serve, kind: str) -> None:
    journal = Journal()
    options: dict[str, Any] = {"ssl_certfile": CERTIFICATE}
    if kind.startswith("websockets"):
        options = {"ssl": ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)}
        options["ssl"].load_cert_chain(CERTIFICATE)
    trusting = ssl.create_default_context(cafile=CERTIFICATE)
    endpoint = make_endpoint(journal)
    async with serve(endpoint, **options) as port, connect(port, scheme="wss", ssl=trusting) as client:
        await client.join("room:a")
        endpoint.broadcast("room:a", "text", {"text": "x" * 100_000})
        assert (await client.receive())[3] == "text"
        await endpoint.drain()
        assert await client.close_code() == 1012
    assert journal.connects[0][1].uri == URI("https", "127.0.0.1", port, "/socket/websocket", "vsn=2.0.0")


@pytest.mark.feature("C18")
@pytest.mark.parametrize(
    ("vsn", "version"),
    [
        (None, 1), ("1.0.0", 1), ("1.0.9", 1), ("2.0.0", 2), ("2.0.5", 2), ("2.0.0%2Bbuild", 2),
        ("", None), ("2", None), ("2.0", None), ("abc", None), ("1.1.0", None), ("2.1.0", None), ("3.0.0", None),
        ("2.0.0-rc.1", None), ("2.0.0+build", None),
    ],
)  # fmt: skip
async def test_versions(port: int, vsn: str | None, version: int | None) -> None:
    query = "" if vsn is None else f"vsn={vsn}"
    if version is None:
        assert (await ask(port, f"/socket/websocket?{query}")).status == 403
        return
    async with connect(port, query=query) as client:
        as_object = '{"topic":"phoenix","event":"heartbeat","payload":{},"ref":"1"}'
        await client.connection.send(as_object if version == 1 else '[null,"1","phoenix","heartbeat",{}]')
        assert isinstance(await client.receive(), dict if version == 1 else list)


class Plain(Socket):
    """With a ``connect`` that is no coroutine, and no channels."""

    transports: list[tuple[str, Endpoint]] = []

    def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
        self.transports.append((self.transport, self.endpoint))


async def test_several_mounts(serve: Serve) -> None:
    journal, endpoint = Journal(), Endpoint()
    room = socket_class(journal)
    endpoint.socket("/socket", room)
    endpoint.socket("/deep/down/socket", room, check_origin=False)
    endpoint.socket("/", Plain)
    Plain.transports.clear()
    async with serve(endpoint) as port:
        async with (
            connect(port) as one,
            connect(port, path="/deep/down/socket/websocket", origin="http://anywhere.example") as two,
            connect(port, path="/websocket") as three,
        ):
            await one.join("room:a")
            await two.join("room:a")
            await three.send("1", "1", "room:a", "phx_join", {})
            assert (await three.receive())[4]["response"] == {"reason": "unmatched topic"}
            endpoint.broadcast("room:a", "both", {})
            assert await one.receive() == await two.receive() == [None, None, "room:a", "both", {}]
        # The options are of the mount, not of the class.
        assert (await ask(port, "/socket/websocket", origin="http://anywhere.example")).status == 403
    assert Plain.transports == [("websocket", endpoint)]
