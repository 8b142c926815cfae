"""Wrong definitions of handlers fail when the class is made, with a text that says what is legal."""

import functools
import types
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Raw

from phoenix_channels.channel import Channel
from phoenix_channels.definitions import DefinitionError
from phoenix_channels.handlers import (
    HandlerTable,
    check_callback,
    incoming,
    intercept,
    marked_methods,
    payload_name,
    schema_of,
)

HANDLER: Callable[..., Any] = incoming
"""For definitions that a type checker would refuse, as it should."""


def definition_error(define: Callable[[], object]) -> str:
    with pytest.raises(DefinitionError) as caught:
        define()
    return str(caught.value)


def make(**namespace: Any) -> type:
    """A channel class with this body."""
    return type("Room", (Channel,), namespace)


def events(channel_class: type) -> tuple[dict[str, str], dict[str, str]]:
    return marked_methods(channel_class, Channel)


def one_payload(self: Any, payload: Any) -> None: ...
def positional(self: Any, payload: Any, /) -> None: ...
def with_default(self: Any, payload: Any = None) -> None: ...
def other_names(me: Any, anything: Any) -> None: ...


def no_payload(self: Any) -> None: ...
def two_payloads(self: Any, a: Any, b: Any) -> None: ...
def one_too_many(self: Any, a: Any, b: Any = None) -> None: ...
def any_number(self: Any, *payloads: Any) -> None: ...
def any_name(self: Any, payload: Any, **more: Any) -> None: ...
def by_name(self: Any, *, payload: Any) -> None: ...
def and_by_name(self: Any, payload: Any, *, more: Any = None) -> None: ...
def nothing() -> None: ...


WRONG_FORMS = [no_payload, two_payloads, one_too_many, any_number, any_name, by_name, and_by_name, nothing]


def copy_of(method: Callable[..., Any]) -> Callable[..., Any]:
    """Another function of the same form, for a mark of its own."""
    return types.FunctionType(method.__code__, {}, "shout", method.__defaults__, method.__closure__)


# The decorators


@pytest.mark.parametrize("argument", [5, b"shout", ["shout"], property(print)], ids=repr)
def test_incoming_takes_a_method_or_a_name(argument: Any) -> None:
    text = definition_error(lambda: HANDLER(argument))
    given = "" if argument is None else repr(argument)
    assert text == f"legal are @incoming and @incoming('event-name'), not @incoming({given})"


def test_incoming_has_no_empty_parentheses() -> None:
    assert definition_error(HANDLER) == "legal are @incoming and @incoming('event-name'), not @incoming()"


@pytest.mark.parametrize("argument", [one_payload, 5, None], ids=["bare", "int", "None"])
def test_intercept_takes_a_name(argument: Any) -> None:
    text = definition_error(lambda: intercept(argument))
    assert text == f"legal is @intercept('event-name'), not @intercept({argument!r})"


@pytest.mark.parametrize("argument", [print, Channel, functools.lru_cache(one_payload)])
@pytest.mark.parametrize("kind", ["incoming", "intercept"])
def test_only_methods_are_marked(kind: str, argument: Any) -> None:
    mark: Callable[..., Any] = incoming("shout") if kind == "incoming" else intercept("shout")
    assert definition_error(lambda: mark(argument)) == f"@{kind} marks a method, not {argument!r}"
    if kind == "incoming":
        assert definition_error(lambda: HANDLER(argument)) == f"@incoming marks a method, not {argument!r}"


def test_one_method_handles_one_event() -> None:
    def shout(self: Any, payload: Any) -> None: ...

    incoming("a")(shout)
    for again in (incoming("b"), intercept("b"), incoming):
        text = definition_error(lambda again=again: again(shout))  # type: ignore[misc]
        assert text.endswith("shout is marked twice; one method handles one event")


@pytest.mark.parametrize("wrap", [classmethod, staticmethod, property, functools.cached_property])
def test_a_handler_is_a_plain_method(wrap: Any) -> None:
    def shout(self: Any, payload: Any) -> None: ...

    wrapped = wrap(incoming(shout))
    assert definition_error(lambda: make(shout=wrapped)) == (
        f"Room.shout: a handler is a plain method, not a {wrap.__name__}"
    )


@pytest.mark.parametrize("mark_first", [True, False])
def test_other_decorators_may_stand_beside_the_mark(mark_first: bool) -> None:
    def doubled(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def wrapper(*args: Any) -> Any:
            return method(*args) * 2

        return wrapper

    def shout(self: Any, payload: int) -> Any:
        return payload

    room = make(shout=doubled(HANDLER(shout)) if mark_first else HANDLER(doubled(shout)))
    assert HandlerTable.of(room, Channel).incoming["shout"](None, Raw(b"21")) == 42


# The form of a handler


@pytest.mark.parametrize("method", WRONG_FORMS, ids=lambda method: method.__name__)
@pytest.mark.parametrize("mark", [incoming("shout"), intercept("shout")], ids=["incoming", "intercept"])
def test_a_handler_takes_exactly_one_payload(mark: Callable[..., Any], method: Callable[..., Any]) -> None:
    assert payload_name(method) is None
    text = definition_error(lambda: make(shout=mark(copy_of(method))))
    assert text == "Room.shout has to take exactly one payload: `def shout(self, payload: ...)`"


@pytest.mark.parametrize(
    "method", [*WRONG_FORMS, None, 5], ids=lambda method: getattr(method, "__name__", repr(method))
)
def test_a_join_takes_exactly_one_payload(method: Any) -> None:
    room = make(join=method)
    text = definition_error(lambda: HandlerTable.of(room, Channel))
    assert text == "Room.join has to be a method with one payload: `join(self, payload)`"


@pytest.mark.parametrize(
    "method", [one_payload, positional, with_default, other_names], ids=lambda method: method.__name__
)
def test_forms_that_are_legal(method: Callable[..., Any]) -> None:
    name = payload_name(method)
    assert name in ("payload", "anything")
    room = make(shout=copy_of(method), join=method)
    assert payload_name(room.shout) == name  # type: ignore[attr-defined]
    assert HandlerTable.of(room, Channel).join(None, Raw(b"1")) is None


def generator(self: Any, payload: Any) -> Any:
    yield payload


async def async_generator(self: Any, payload: Any) -> Any:
    yield payload


@pytest.mark.parametrize("method", [generator, async_generator])
@pytest.mark.parametrize("name", ["shout", "join"])
def test_nothing_that_takes_a_payload_yields(name: str, method: Callable[..., Any]) -> None:
    body = {name: method if name == "join" else HANDLER(copy_of(method))}
    text = definition_error(lambda: HandlerTable.of(make(**body), Channel))
    assert text == f"Room.{name} is a generator; legal are `def` and `async def`"


@pytest.mark.parametrize("event", ["phx_join", "phx_leave"])
def test_p048_joins_and_leaves_never_reach_a_handler(event: str) -> None:
    text = definition_error(lambda: make(shout=incoming(event)(copy_of(one_payload))))
    assert text == f"Room.shout: {event} never reaches a handler; override join or terminate"
    # A broadcast of that name is one like any other, and so are the other events of the protocol.
    assert events(make(shout=intercept(event)(copy_of(one_payload)))) == ({}, {event: "shout"})
    assert events(make(shout=incoming("phx_reply")(copy_of(one_payload))))[0] == {"phx_reply": "shout"}


@pytest.mark.parametrize("name", ["push", "join", "topic", "handle_in", "__init__"])
@pytest.mark.parametrize("mark", [incoming("news"), intercept("news")], ids=["incoming", "intercept"])
def test_a_handler_is_not_named_like_an_attribute_of_channel(mark: Callable[..., Any], name: str) -> None:
    text = definition_error(lambda: make(**{name: mark(copy_of(one_payload))}))
    assert text.startswith(f"Room.{name}: a handler must not be named like an attribute of Channel (after_join, broad")
    assert "terminate, topic, unsubscribe" in text
    assert "give the method another name and write @in" in text
    assert text.endswith("('news')")


# One event, one handler


def test_two_handlers_for_one_event() -> None:
    def define() -> None:
        class Room(Channel):
            @incoming
            def shout(self, payload: Any) -> None: ...

            @incoming("shout")
            def cry(self, payload: Any) -> None: ...

    assert definition_error(define).endswith(
        "Room: shout and cry both handle the incoming event 'shout'; one event has one handler"
    )


def test_two_intercepts_of_one_event() -> None:
    def define() -> None:
        class Room(Channel):
            @intercept("shout")
            def a(self, payload: Any) -> None: ...

            @intercept("shout")
            def b(self, payload: Any) -> None: ...

    assert "a and b both handle the intercept event 'shout'" in definition_error(define)


def test_an_event_may_come_in_and_be_intercepted() -> None:
    class Room(Channel):
        @incoming
        def shout(self, payload: Any) -> None: ...

        @intercept("shout")
        def heard(self, payload: Any) -> None: ...

    assert events(Room) == ({"shout": "shout"}, {"shout": "heard"})


# Inheritance


class Base(Channel):
    @incoming
    def shout(self, payload: str) -> Any:
        return ["base", payload]

    @incoming("other-event")
    def other(self, payload: str) -> Any:
        return ["other", payload]

    @intercept("heard")
    def hear(self, payload: str) -> Any:
        return ["hear", payload]


def test_handlers_are_inherited() -> None:
    class Room(Base):
        @incoming
        def more(self, payload: Any) -> None: ...

    assert events(Room) == ({"shout": "shout", "other-event": "other", "more": "more"}, {"heard": "hear"})
    assert events(Base) == ({"shout": "shout", "other-event": "other"}, {"heard": "hear"})


def test_an_override_with_its_mark_takes_over_with_its_own_schema() -> None:
    class Room(Base):
        @incoming
        def shout(self, payload: int) -> Any:  # type: ignore[override]
            return ["room", payload]

    handlers = HandlerTable.of(Room, Channel).incoming
    assert handlers["shout"](Room(), Raw(b"1")) == ["room", 1]
    assert handlers["other-event"](Room(), Raw(b'"a"')) == ["other", "a"]


def test_an_override_may_take_another_event() -> None:
    class Room(Base):
        @incoming("cry")
        def shout(self, payload: str) -> Any: ...

    assert set(events(Room)[0]) == {"cry", "other-event"}


def test_an_override_without_its_mark_is_an_oversight() -> None:
    def define() -> None:
        class Room(Base):
            def shout(self, payload: str) -> Any: ...

    text = definition_error(define)
    assert text.endswith(
        "Room.shout overrides a handler without its mark: mark it too, or remove the handler by shout = None"
    )


def test_a_handler_is_removed_by_none() -> None:
    class Room(Base):
        shout = None  # type: ignore[assignment]

    assert events(Room) == ({"other-event": "other"}, {"heard": "hear"})
    assert set(HandlerTable.of(Room, Channel).incoming) == {"other-event"}


def test_another_name_for_an_inherited_event_is_a_second_handler() -> None:
    def define() -> None:
        class Room(Base):
            @incoming("shout")
            def cry(self, payload: str) -> Any: ...

    assert "shout and cry both handle the incoming event 'shout'" in definition_error(define)


def test_handlers_of_a_mixin() -> None:
    class Loud:
        @incoming
        def shout(self, payload: int) -> Any:
            return [type(self).__name__, payload]

    class Room(Loud, Channel):
        pass

    assert HandlerTable.of(Room, Channel).incoming["shout"](Room(), Raw(b"1")) == ["Room", 1]


def test_an_inherited_join_keeps_its_schema() -> None:
    class First(Channel):
        def join(self, payload: int) -> Any:
            return payload

    class Second(First):
        pass

    assert schema_of(Second, "join").decode(Raw(b"1")) == 1
    assert HandlerTable.of(Second, Channel).join(Second(), Raw(b"1")) == 1


# Callbacks


def no_arguments(self: Any) -> None: ...
def two_arguments(self: Any, event: Any, payload: Any) -> None: ...
def a_default_too(self: Any, event: Any, payload: Any = None) -> None: ...
def defaults_only(self: Any, event: Any = None, payload: Any = None, more: Any = None) -> None: ...
def all_arguments(*arguments: Any, **more: Any) -> None: ...
def keyword_with_default(self: Any, event: Any, payload: Any, *, more: Any = None) -> None: ...
def three_arguments(self: Any, event: Any, payload: Any, more: Any) -> None: ...
def keyword_without_default(self: Any, event: Any, payload: Any, *, more: Any) -> None: ...


@pytest.mark.parametrize("method", [two_arguments, a_default_too, defaults_only, all_arguments, keyword_with_default])
def test_callbacks_that_can_be_called_with_two_arguments(method: Callable[..., Any]) -> None:
    check_callback(make(handle_in=method), "handle_in", "event", "payload")


@pytest.mark.parametrize(
    "method", [no_arguments, one_payload, nothing, three_arguments, keyword_without_default, None, 5]
)
def test_callbacks_that_cannot(method: Any) -> None:
    text = definition_error(lambda: make(handle_in=method))
    assert text == "Room.handle_in has to be a method of this form: `def handle_in(self, event, payload)`"


@pytest.mark.parametrize(
    ("name", "arguments", "method"),
    [
        ("after_join", "self", one_payload),
        ("handle_info", "self, message", no_arguments),
        ("terminate", "self, reason", two_arguments),
    ],
)
def test_every_callback_of_a_channel_is_checked(name: str, arguments: str, method: Callable[..., Any]) -> None:
    text = definition_error(lambda: make(**{name: method}))
    assert text == f"Room.{name} has to be a method of this form: `def {name}({arguments})`"


@pytest.mark.parametrize("method", [generator, async_generator])
def test_a_callback_does_not_yield(method: Callable[..., Any]) -> None:
    text = definition_error(lambda: make(terminate=method))
    assert text == "Room.terminate is a generator; legal are `def` and `async def`"
