"""The secret that signs the tokens of sessions: when there has to be one, and what it has to be (P-108, P-130)."""

from typing import Any

import pytest

from phoenix_channels import Channel, DefinitionError, Endpoint, LongPollOptions
from phoenix_channels.token.signing import derive_key, sign
from tests.support.asgi import serving
from tests.support.backplane import Broker
from tests.support.loops import soon
from tests.support.polling import SECRET, Poller, ask, polled, socket_of

SOCKET = socket_of(Channel)


@pytest.fixture(autouse=True)
def one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)


@pytest.mark.parametrize("secret", ["", "x", 19 * "x", 9 * "ä"])
def test_a_secret_that_is_too_short_is_refused_at_once(secret: str) -> None:
    with pytest.raises(ValueError, match="at least 20 bytes"):
        Endpoint(secret_key_base=secret)


@pytest.mark.parametrize("secret", [20 * "x", 10 * "ä"])
def test_a_secret_of_twenty_bytes_will_do(secret: str) -> None:
    Endpoint(secret_key_base=secret).socket("/socket", SOCKET, longpoll=True)


@pytest.mark.parametrize("secret", [b"a secret that is no text at all", 12345678901234567890])
def test_a_secret_that_is_no_text_is_refused_with_what_is_legal(secret: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="secret_key_base"):
        Endpoint(secret_key_base=secret)


async def test_without_a_secret_there_is_one_warning_and_a_random_one(caplog: pytest.LogCaptureFixture) -> None:
    endpoint = Endpoint()
    endpoint.socket("/one", SOCKET)
    assert not caplog.records
    endpoint.socket("/socket", SOCKET, longpoll=True)
    endpoint.socket("/two", SOCKET, longpoll=LongPollOptions())
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 1
    assert "secret_key_base" in warnings[0]
    async with serving(endpoint) as server:
        poller = await Poller(server).open()
        await poller.heartbeat()
        await soon(endpoint.drain())


@pytest.mark.parametrize("workers", ["2", "16"])
def test_several_workers_need_a_secret(workers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", workers)
    endpoint = Endpoint()
    endpoint.socket("/socket", SOCKET)
    with pytest.raises(ValueError, match="secret_key_base"):
        endpoint.socket("/polling", SOCKET, longpoll=True)
    Endpoint(secret_key_base=20 * "x").socket("/socket", SOCKET, longpoll=True)


def test_one_worker_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "1")
    Endpoint().socket("/socket", SOCKET, longpoll=True)


def test_several_nodes_need_a_secret() -> None:
    endpoint = Endpoint(pubsub=Broker().node())
    endpoint.socket("/socket", SOCKET)
    with pytest.raises(ValueError, match="secret_key_base"):
        endpoint.socket("/polling", SOCKET, longpoll=True)
    Endpoint(pubsub=Broker().node(), secret_key_base=20 * "x").socket("/socket", SOCKET, longpoll=True)


@pytest.mark.parametrize(
    "payload", [b"", b"nonsense", b"[]", b'[2,"node","session",99999999999]', b'[1,"node","session",0]', b"\xff"]
)
async def test_what_was_signed_with_the_secret_and_is_no_token_of_ours(payload: bytes) -> None:
    """Another version of this library, or another use of the key; it counts as absent."""
    token = sign(derive_key(SECRET, "phoenix_channels longpoll /socket"), payload)
    async with polled(SOCKET) as (endpoint, server):
        assert (await ask(server, "POST", query=f"token={token}", body=b"[]")).envelope == {"status": 410}
        assert (await ask(server, "GET", query=f"vsn=2.0.0&token={token}")).envelope["status"] == 410
        assert endpoint.statistics().connections == 1


@pytest.mark.parametrize("name", ["window", "pubsub_timeout", "max_age"])
@pytest.mark.parametrize("value", [0, -1, True, "1", float("nan")])
def test_options_that_are_no_seconds(name: str, value: Any) -> None:
    with pytest.raises(DefinitionError, match=rf"LongPollOptions\({name}=...\) is a positive number of seconds"):
        LongPollOptions(**{name: value})


def test_an_option_that_there_is_not() -> None:
    with pytest.raises(DefinitionError, match=r"unknown option 'window_ms'; legal are path, window, pubsub_timeout"):
        LongPollOptions(window_ms=10)  # type: ignore[call-arg]
