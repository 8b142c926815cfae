"""The certificate of a client, where its server asks for one: ``info.peer_data.ssl_cert`` (P-022)."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from tests.support.asgi import serving
from tests.transports.app import Journal, make_endpoint
from tests.transports.clients import connect
from tests.transports.servers import Serve, asyncio_server, trio_server

FILE = Path(__file__).with_name("localhost.pem")
PEM = FILE.read_text().partition("-----BEGIN PRIVATE KEY")[0].strip()
DER = ssl.PEM_cert_to_DER_cert(PEM)


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


@pytest.mark.parametrize("certified", [True, False])
async def test_it_is_asked_for_by_a_server_of_websockets(anyio_backend_name: str, certified: bool) -> None:
    serve: Serve = {"asyncio": asyncio_server, "trio": trio_server}[anyio_backend_name]
    journal = Journal()
    serving_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(FILE))
    serving_tls.load_cert_chain(FILE)
    serving_tls.verify_mode = ssl.CERT_OPTIONAL
    trusting = ssl.create_default_context(cafile=str(FILE))
    if certified:
        trusting.load_cert_chain(FILE)
    endpoint = make_endpoint(journal)
    async with serve(endpoint, ssl=serving_tls) as port, connect(port, scheme="wss", ssl=trusting) as client:
        await client.join("room:a")
    ((_, info),) = journal.connects
    assert info.peer_data.ssl_cert == (DER if certified else None)
