"""What user code answers."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from phoenix_channels.results import ConnectRefused, JoinRefused, Reply, Stop, sole


@pytest.mark.parametrize(
    ("reply", "status", "payload"),
    [
        (Reply.ok(), "ok", {}),
        (Reply.error(), "error", {}),
        (Reply.ok({"a": 1}), "ok", {"a": 1}),
        (Reply.error({"a": 1}), "error", {"a": 1}),
        (Reply.ok([]), "ok", []),
        (Reply.ok(""), "ok", ""),
        (Reply.ok(0), "ok", 0),
        (Reply.ok(b"\0"), "ok", b"\0"),
        (Reply("wait"), "wait", {}),
        (Reply("wait", "soon"), "wait", "soon"),
        # P-033: null is a response like any other.
        (Reply.ok(None), "ok", None),
        (Reply.error(None), "error", None),
        (Reply("wait", None), "wait", None),
    ],
)
def test_p061_replies(reply: Reply, status: str, payload: Any) -> None:
    assert (reply.status, reply.payload) == (status, payload)


@pytest.mark.parametrize("status", [None, 5, b"ok", {"a": 1}, ["ok"]], ids=repr)
def test_p034_a_status_is_a_string(status: Any) -> None:
    with pytest.raises(TypeError, match=r"the status of a Reply is a string such as 'ok' or 'error', not "):
        Reply(status)


@pytest.mark.parametrize("make", [Reply.ok, Reply.error, lambda: Reply("ok")], ids=["ok", "error", "plain"])
def test_bare_replies_share_nothing(make: Callable[[], Reply]) -> None:
    make().payload["a"] = 1
    assert make().payload == {}


@pytest.mark.parametrize(
    ("reason", "graceful"),
    [
        ("normal", True),
        ("shutdown", True),
        (("shutdown", "left"), True),
        (("shutdown", None), True),
        (("shutdown", {"any": "term"}), True),
        ("other", False),
        ("", False),
        (None, False),
        (("shutdown",), False),
        (("shutdown", 1, 2), False),
        (("normal", 1), False),
        (["shutdown", 1], False),
        (ValueError("boom"), False),
        ({"shutdown": 1}, False),
    ],
    ids=repr,
)
def test_p065_which_reasons_close_and_which_are_failures(reason: object, graceful: bool) -> None:
    assert Stop(reason).graceful is graceful


def test_p065_a_stop_is_normal_and_answers_nothing_by_default() -> None:
    assert (Stop().reason, Stop().reply, Stop().graceful) == ("normal", None, True)
    assert Stop("shutdown", Reply.ok()).reply == Stop("shutdown", reply=Reply.ok()).reply == Reply.ok()


@pytest.mark.parametrize("result", [Reply.ok(), Stop()], ids=lambda result: type(result).__name__)
def test_results_cannot_be_changed(result: msgspec.Struct) -> None:
    for name in result.__struct_fields__:
        with pytest.raises(AttributeError):
            setattr(result, name, None)


@pytest.mark.parametrize(
    ("refused", "response"),
    [
        (JoinRefused(), {}),
        (JoinRefused(reason="unauthorized"), {"reason": "unauthorized"}),
        (JoinRefused(reason="full", limit=3), {"reason": "full", "limit": 3}),
        (JoinRefused({"any": ["term"]}), {"any": ["term"]}),
        (JoinRefused("text"), "text"),
        (JoinRefused(None), None),
        (JoinRefused(b"\0"), b"\0"),
        # A field may bear the name of the parameter.
        (JoinRefused(response="x", self="y"), {"response": "x", "self": "y"}),
    ],
    ids=repr,
)
def test_p052_the_response_of_a_refused_join(refused: JoinRefused, response: object) -> None:
    assert refused.response == response
    assert refused.args == (response,)


def test_a_refused_join_takes_one_response_or_fields() -> None:
    with pytest.raises(TypeError, match="one response, or the fields of one, not both"):
        JoinRefused({"reason": "x"}, reason="y")


def test_p010_the_reason_of_a_refused_connect_is_for_the_log() -> None:
    assert ConnectRefused().reason is None
    assert ConnectRefused("expired").reason == "expired"
    assert ConnectRefused("expired").args == ("expired",)


def test_raising_the_class_alone_is_enough() -> None:
    with pytest.raises(JoinRefused) as join:
        raise JoinRefused
    assert join.value.response == {}
    with pytest.raises(ConnectRefused) as connect:
        raise ConnectRefused
    assert connect.value.reason is None


def test_what_was_raised_is_found_in_groups_of_one() -> None:
    refused, other = JoinRefused(), ValueError("boom")
    assert sole(refused) is refused
    assert sole(ExceptionGroup("one", [refused])) is refused
    assert sole(BaseExceptionGroup("outer", [ExceptionGroup("inner", [refused])])) is refused
    both = ExceptionGroup("two", [refused, other])
    assert sole(both) is both
    assert sole(ExceptionGroup("outer", [both])) is both
