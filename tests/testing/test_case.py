"""A case closes what its test has opened, and the plugin makes one for each test."""

from __future__ import annotations

import anyio
import pytest

from phoenix_channels import telemetry
from phoenix_channels.testing import ChannelCase, ChannelCrashed
from tests.testing.app import UserSocket, make_endpoint

pytest_plugins = ["pytester"]


async def test_a_case_closes_what_is_open() -> None:
    endpoint = make_endpoint()
    async with ChannelCase(endpoint) as phoenix:
        assert phoenix.endpoint is endpoint
        one = await phoenix.connect({"user": "1"}, socket_class=UserSocket)
        assert one.server.user == "1"
        two = await phoenix.make_socket(UserSocket, id="users:2", user="2")
        await one.join("room:1")
        await two.join("room:1")
        observer = await phoenix.subscribe("room:1")
        async with phoenix.connect(path="/socket") as three:
            await three.join("room:1")
            three.endpoint.broadcast("room:1", "news", {})
        await observer.assert_broadcast("news")
        assert endpoint.statistics().connections == 2
    now = endpoint.statistics()
    assert (now.connections, now.channels, now.topics) == (0, 0, 0)
    assert not telemetry.attached(telemetry.CHANNEL_CRASHED)


async def test_of_a_test_that_is_cancelled_nothing_stays() -> None:
    endpoint = make_endpoint()
    with anyio.CancelScope() as scope:
        async with ChannelCase(endpoint) as phoenix:
            for number in range(3):
                await (await phoenix.connect()).join(f"room:{number}")
            await phoenix.subscribe("room:1")
            scope.cancel()
            await anyio.sleep(1)
    assert scope.cancelled_caught
    # What the channels still do.
    await anyio.sleep(1)
    now = endpoint.statistics()
    assert (now.connections, now.channels, now.topics) == (0, 0, 0)
    assert not telemetry.attached(telemetry.CHANNEL_CRASHED)


async def test_a_case_tells_of_all_crashes_that_nobody_has_told_of() -> None:
    async def crash() -> None:
        async with ChannelCase(make_endpoint()) as phoenix:
            for number in (1, 2, 3):
                channel = await (await phoenix.connect()).join(f"room:{number}")
                channel.push("crash", f"number {number}")
                if number == 2:
                    with pytest.raises(ChannelCrashed):
                        await channel.assert_errored()
            await anyio.sleep(1)

    with pytest.raises(ChannelCrashed) as crashed:
        await crash()
    assert sorted(crash.topic for crash in crashed.value.crashes) == ["room:1", "room:3"]


async def test_a_test_that_has_failed_fails_by_that() -> None:
    async def crash() -> None:
        async with ChannelCase(make_endpoint()) as phoenix:
            channel = await (await phoenix.connect()).join("room:1")
            channel.push("crash", "oh no")
            await anyio.sleep(1)
            raise KeyError("the test")

    with pytest.raises(KeyError):
        await crash()


# The plugin

ENDPOINT = """
    import pytest
    from phoenix_channels.testing import fake_clock
    from tests.testing.app import make_endpoint

    @pytest.fixture
    def phoenix_endpoint():
        return make_endpoint()

    @pytest.fixture(params=["asyncio", "trio"])
    def anyio_backend(request):
        return fake_clock(request.param)
"""
# By its module, whether or not this environment knows the entry point.
LOADED = ("-p", "no:phoenix_channels", "-p", "phoenix_channels.testing.plugin", "-p", "no:cacheprovider")


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_the_fixture_is_a_case(pytester: pytest.Pytester, mode: str) -> None:
    pytester.makeconftest(ENDPOINT)
    pytester.makepyfile(
        f"""
        import pytest

        {"" if mode == "auto" else "@pytest.mark.anyio"}
        async def test_echo(phoenix, phoenix_endpoint):
            socket = await phoenix.connect()
            assert socket.endpoint is phoenix_endpoint
            channel = await socket.join("room:1")
            await channel.push("echo", 1).assert_reply("ok", 1)
        """
    )
    pytester.runpytest_inprocess(*LOADED, "-o", f"anyio_mode={mode}").assert_outcomes(passed=2)


def test_a_crash_that_nobody_has_expected_fails_the_test(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(ENDPOINT)
    pytester.makepyfile(
        """
        import anyio

        async def test_crash(phoenix):
            channel = await (await phoenix.connect()).join("room:1")
            channel.push("crash", "oh no")
            await anyio.sleep(1)
        """
    )
    result = pytester.runpytest_inprocess(*LOADED, "-o", "anyio_mode=auto")
    result.assert_outcomes(passed=2, errors=2)
    result.stdout.fnmatch_lines(["*ChannelCrashed: RoomChannel: a callback on 'room:1' crashed: ValueError('oh no')"])


def test_without_an_endpoint_it_says_what_is_missing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("async def test_nothing(phoenix): pass")
    result = pytester.runpytest_inprocess(*LOADED, "-o", "anyio_mode=auto")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["the fixture `phoenix` needs a fixture `phoenix_endpoint` that returns the*"])


def test_no_class_of_the_kit_looks_like_a_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("from phoenix_channels.testing import *\nfrom phoenix_channels.testing.mock import *")
    result = pytester.runpytest_inprocess(*LOADED, "-W", "error")
    result.assert_outcomes()
