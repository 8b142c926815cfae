"""Which method handles which event, and what is wrong with a class that is not put together right.

User code is written out as source where it matters whether ``from __future__ import annotations`` stands above it.
"""

import __future__

import sys
import textwrap
import types
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Raw, Struct

from phoenix_channels.channel import Channel
from phoenix_channels.definitions import DefinitionError
from phoenix_channels.handlers import HandlerTable, incoming, intercept
from phoenix_channels.results import Reply
from phoenix_channels.schemas import InvalidPayload

DEFERRED = pytest.mark.parametrize("deferred", [False, True], ids=["evaluated", "deferred"])

PREAMBLE = """
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Annotated, Generic, Literal, TypedDict, TypeVar, Union
import msgspec
from msgspec import Struct
from phoenix_channels import Channel, Reply, Stop, incoming, intercept
"""


def run(source: str, *, deferred: bool = True) -> dict[str, Any]:
    """Runs a module of user code, with the future import or without; its names."""
    flags = __future__.annotations.compiler_flag if deferred else 0
    code = compile(PREAMBLE + textwrap.dedent(source), "user_code.py", "exec", flags, dont_inherit=True)
    # Structs and dataclasses look for the names of their fields in the module of that name.
    sys.modules["user_code"] = module = types.ModuleType("user_code")
    exec(code, vars(module))
    return vars(module)


def table(channel_class: type) -> HandlerTable:
    return HandlerTable.of(channel_class, Channel)


def definition_error(define: Callable[[], object]) -> str:
    with pytest.raises(DefinitionError) as caught:
        define()
    return str(caught.value)


# Dispatch


class Shout(Struct):
    text: str


class Room(Channel):
    def __init__(self) -> None:
        self.calls: list[object] = []

    def join(self, payload: Shout) -> object:
        self.calls.append(payload)
        return "joined"

    @incoming
    def shout(self, payload: Shout) -> Reply:
        self.calls.append(payload)
        return Reply.ok()

    @incoming("whisper-to")
    async def whisper(self, payload: bytes) -> None:
        self.calls.append(payload)

    @intercept("shout")
    def broadcast_shout(self, payload: dict[str, int]) -> None:
        self.calls.append(payload)


def test_a_handler_table_is_the_class_resolved() -> None:
    handlers, room = table(Room), Room()
    assert set(handlers.incoming) == {"shout", "whisper-to"}
    assert set(handlers.intercepts) == {"shout"}
    assert handlers.join(room, Raw(b'{"text":"a"}')) == "joined"
    assert handlers.incoming["shout"](room, Raw(b'{"text":"b"}')) == Reply.ok()
    assert handlers.intercepts["shout"](room, Raw(b'{"n":1}')) is None
    assert room.calls == [Shout("a"), Shout("b"), {"n": 1}]


async def test_an_async_handler_gives_its_awaitable() -> None:
    room = Room()
    await table(Room).incoming["whisper-to"](room, b"\0")
    assert room.calls == [b"\0"]


def test_a_payload_that_does_not_fit_never_reaches_the_method() -> None:
    handlers, room = table(Room), Room()
    for handler, payload in (
        (handlers.join, Raw(b"{}")),
        (handlers.incoming["shout"], b"binary"),
        (handlers.incoming["whisper-to"], Raw(b'"AAEC"')),
        (handlers.intercepts["shout"], Raw(b'{"n":"x"}')),
    ):
        with pytest.raises(InvalidPayload):
            handler(room, payload)
    assert room.calls == []


def test_the_marks_leave_the_method_as_it_was() -> None:
    assert Room().shout(Shout("a")) == Reply.ok()


def test_a_channel_without_handlers() -> None:
    class Plain(Channel):
        pass

    handlers = table(Plain)
    assert (handlers.incoming, handlers.intercepts) == ({}, {})
    assert handlers.join(Plain(), Raw(b'{"any":["thing"]}')) is None


@DEFERRED
def test_payloads_without_annotation_take_everything(deferred: bool) -> None:
    names = run(
        """
        class Room(Channel):
            @incoming
            def shout(self, anything):
                return anything
        """,
        deferred=deferred,
    )
    shout = table(names["Room"]).incoming["shout"]
    assert shout(None, Raw(b'{"a":[1]}')) == {"a": [1]}
    assert shout(None, b"\0") == b"\0"


@DEFERRED
@pytest.mark.parametrize(
    ("annotation", "payload", "expected"),
    [
        ("Any", b"[1]", "[1]"),
        ("dict[str, int]", b'{"a":1}', "{'a': 1}"),
        ("Note", b'{"body":"hi"}', "Note(body='hi')"),
        ("Note | None", b"null", "None"),
        ("Union[int, str]", b'"a"', "'a'"),
        ("Point", b'{"x":1}', "Point(x=1)"),
        ("Options", b'{"on":true}', "{'on': True}"),
        ("list[Note] | bytes", b'[{"body":"hi"}]', "[Note(body='hi')]"),
        ("Literal['a', 'b']", b'"b"', "'b'"),
        ("Annotated[int, msgspec.Meta(ge=1)]", b"1", "1"),
        ("Box[int]", b'{"value":1}', "Box(value=1)"),
        ("None", b"null", "None"),
        ("'Note'", b'{"body":"hi"}', "Note(body='hi')"),
        ("'list[Note]'", b'[{"body":"hi"}]', "[Note(body='hi')]"),
        ("list['Note']", b'[{"body":"hi"}]', "[Note(body='hi')]"),
        ("'Note | bytes'", b'{"body":"hi"}', "Note(body='hi')"),
    ],
)
def test_annotations_of_every_kind(annotation: str, payload: bytes, expected: str, deferred: bool) -> None:
    names = run(
        f"""
        T = TypeVar("T")
        class Note(Struct):
            body: str
        class Box(Struct, Generic[T]):
            value: T
        @dataclass
        class Point:
            x: int
        class Options(TypedDict):
            on: bool
        class Room(Channel):
            @incoming
            def shout(self, payload: {annotation}):
                return payload
        """,
        deferred=deferred,
    )
    assert repr(table(names["Room"]).incoming["shout"](None, Raw(payload))) == expected


# Where the names of an annotation are looked up


def test_a_module_level_name_that_is_defined_below() -> None:
    names = run(
        """
        class Room(Channel):
            @incoming
            def shout(self, payload: Later) -> "Neither":
                return payload
            @incoming
            def other(self, payload: list[Later]) -> None:
                return payload
        class Later(Struct):
            body: str
        """
    )
    handlers = table(names["Room"]).incoming
    assert handlers["shout"](None, Raw(b'{"body":"a"}')).body == "a"
    assert handlers["other"](None, Raw(b'[{"body":"a"}]'))[0].body == "a"


@DEFERRED
def test_a_class_local_to_a_function(deferred: bool) -> None:
    names = run(
        """
        def make():
            class Note(Struct):
                body: str
            class Unused(Struct):
                body: str
            class Room(Channel):
                def join(self, payload: Note) -> object:
                    return payload.body
                @incoming
                def shout(self, payload: list[Note]) -> None:
                    return payload[0].body
                @intercept("heard")
                def heard(self, payload: Note | None) -> None:
                    return payload.body
                @incoming
                def quoted(self, payload: dict[str, "Note"]) -> None:
                    return payload["a"].body
            return Room
        Room = make()
        """,
        deferred=deferred,
    )
    handlers = table(names["Room"])
    assert handlers.join(None, Raw(b'{"body":"a"}')) == "a"
    assert handlers.incoming["shout"](None, Raw(b'[{"body":"b"}]')) == "b"
    assert handlers.intercepts["heard"](None, Raw(b'{"body":"c"}')) == "c"
    assert handlers.incoming["quoted"](None, Raw(b'{"a":{"body":"d"}}')) == "d"


@DEFERRED
def test_a_class_in_the_body_of_the_channel(deferred: bool) -> None:
    names = run(
        """
        class Room(Channel):
            class Note(Struct):
                body: str
            @incoming
            def shout(self, payload: Note) -> None:
                return payload.body
        """,
        deferred=deferred,
    )
    assert table(names["Room"]).incoming["shout"](None, Raw(b'{"body":"a"}')) == "a"


@DEFERRED
def test_the_local_name_wins_over_the_global_one(deferred: bool) -> None:
    names = run(
        """
        class Note(Struct):
            outer: str
        def make():
            class Note(Struct):
                inner: str
            class Room(Channel):
                @incoming
                def shout(self, payload: Note) -> None:
                    return payload.inner
            return Room
        Room = make()
        """,
        deferred=deferred,
    )
    assert table(names["Room"]).incoming["shout"](None, Raw(b'{"inner":"a"}')) == "a"


@DEFERRED
def test_a_base_class_with_its_own_init_subclass(deferred: bool) -> None:
    names = run(
        """
        class Registered(Channel):
            classes = []
            def __init_subclass__(cls, **options):
                super().__init_subclass__(**options)
                cls.classes.append(cls)
        def make():
            class Note(Struct):
                body: str
            class Room(Registered):
                @incoming
                def shout(self, payload: Note) -> None:
                    return payload.body
            return Room
        Room = make()
        """,
        deferred=deferred,
    )
    assert names["Registered"].classes == [names["Room"]]
    assert table(names["Room"]).incoming["shout"](None, Raw(b'{"body":"a"}')) == "a"


UNRESOLVABLE = {
    "imported for type checkers only": """
        if TYPE_CHECKING:
            from elsewhere import Missing
        class Room(Channel):
            @incoming
            def shout(self, payload: "Missing") -> None: ...
    """,
    "misspelt": """
        class Room(Channel):
            @incoming
            def shout(self, payload: "list[Missing]") -> None: ...
    """,
    "local, and below": """
        def make():
            class Room(Channel):
                @incoming
                def shout(self, payload: "Missing") -> None: ...
            class Missing(Struct): ...
            return Room
        Room = make()
    """,
    "no Python": """
        class Room(Channel):
            @incoming
            def shout(self, payload: "not python") -> None: ...
    """,
}


# With the future import the quotes are superfluous, where without them it is still Python.
@pytest.mark.parametrize(
    ("case", "deferred"), [(case, False) for case in UNRESOLVABLE] + [(case, True) for case in list(UNRESOLVABLE)[:-1]]
)
def test_an_annotation_that_cannot_be_resolved_names_the_likely_reasons(case: str, deferred: bool) -> None:
    source = UNRESOLVABLE[case]
    room = run(source.replace('"', "") if deferred else source, deferred=deferred)["Room"]
    text = definition_error(lambda: table(room))
    assert text.startswith(f"{room.__qualname__}.shout: the annotation of 'payload', '")
    assert "cannot be resolved" in text
    assert "`if TYPE_CHECKING:`" in text
    assert "has to stand above the channel class" in text


def test_only_the_payload_is_resolved() -> None:
    names = run(
        """
        if TYPE_CHECKING:
            from elsewhere import Answer, Me
        class Room(Channel):
            @incoming
            def shout(self: Me, payload: int) -> Answer:
                return payload
        """
    )
    assert table(names["Room"]).incoming["shout"](None, Raw(b"1")) == 1


@DEFERRED
@pytest.mark.parametrize("annotation", ["Unknown", "list[Unknown]", "complex", "Unknown | bytes", "5", "bytearray"])
def test_an_annotation_that_cannot_be_decoded_lists_what_can(annotation: str, deferred: bool) -> None:
    names = run(
        f"""
        class Unknown: ...
        class Room(Channel):
            def join(self, params: {annotation}) -> object: ...
        """,
        deferred=deferred,
    )
    text = definition_error(lambda: table(names["Room"]))
    assert text.startswith("Room.join: the annotation of 'params', ")
    assert "cannot be decoded: " in text
    assert "Legal are msgspec Structs, dataclasses, TypedDicts, dict, list, str, int, float, bool, None, bytes" in text
