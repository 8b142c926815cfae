"""The certificate of a client, where its server asks for one: ``info.peer_data.ssl_cert`` (P-022)."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from tests.support.asgi import serving
from tests.transports.app import Journal, make_endpoint
from tests.transports.clients import connect
from tests.transports.servers import UVLOOP, Serve, asyncio_server, fast_server, trio_server

FILE = Path(__file__).with_name("localhost.pem")
PEM = FILE.read_text().partition("-----BEGIN PRIVATE KEY")[0].strip()
DER = ssl.PEM_cert_to_DER_cert(PEM)


def trusting(*, certified: bool) -> ssl.SSLContext:
    """Of a client, which may have a certificate."""
    context = ssl.create_default_context(cafile=str(FILE))
    if certified:
        context.load_cert_chain(FILE)
    return context


@pytest.mark.parametrize(
    ("extensions", "certificate"),
    [
        ({"tls": {"client_cert_chain": [PEM, "of whoever has signed it"]}}, DER),
        ({"tls": {"client_cert_chain": []}}, None),
        ({"tls": {"client_cert_chain": None}}, None),
        ({"tls": {}}, None),
        ({"tls": None}, None),
        ({}, None),
    ],
)
async def test_servers_of_asgi_tell_it_by_an_extension(extensions: dict[str, Any], certificate: bytes | None) -> None:
    journal = Journal()
    endpoint = make_endpoint(journal)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await endpoint(scope | {"extensions": extensions}, receive, send)

    async with serving(app) as server:
        await server.connect()
    ((_, info),) = journal.connects
    assert info.peer_data.ssl_cert == certificate


@pytest.mark.parametrize("anyio_backend", ["asyncio", UVLOOP], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("certified", [True, False])
async def test_it_is_asked_for_by_the_fast_lane(certified: bool) -> None:
    journal = Journal()
    options: dict[str, Any] = {"ssl_certfile": FILE, "ssl_ca_certs": FILE, "ssl_cert_reqs": ssl.CERT_OPTIONAL}
    async with (
        fast_server(make_endpoint(journal), **options) as port,
        connect(port, scheme="wss", ssl=trusting(certified=certified)) as client,
    ):
        await client.join("room:a")
    ((_, info),) = journal.connects
    assert info.peer_data.ssl_cert == (DER if certified else None)


@pytest.mark.parametrize("certified", [True, False])
async def test_it_is_asked_for_by_a_server_of_websockets(anyio_backend_name: str, certified: bool) -> None:
    serve: Serve = {"asyncio": asyncio_server, "trio": trio_server}[anyio_backend_name]
    journal = Journal()
    serving_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(FILE))
    serving_tls.load_cert_chain(FILE)
    serving_tls.verify_mode = ssl.CERT_OPTIONAL
    async with (
        serve(make_endpoint(journal), ssl=serving_tls) as port,
        connect(port, scheme="wss", ssl=trusting(certified=certified)) as client,
    ):
        await client.join("room:a")
    ((_, info),) = journal.connects
    assert info.peer_data.ssl_cert == (DER if certified else None)
