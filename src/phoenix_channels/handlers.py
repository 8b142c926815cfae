"""Typed dispatch: which method handles which event, and what its payload has to look like.

A class is read twice.  When it is *defined*, its marked methods are collected and their form is checked.  When it is
*mounted* on an endpoint, the annotations of the payloads are resolved and turned into decoders; only then do the
names exist that are defined or imported below the class.
"""

from __future__ import annotations

import builtins
import inspect
import re
import sys
import types
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import (
    Any,
    Final,
    TypeAlias,
    TypeVar,
    final,
    get_type_hints,
    overload,
)

import msgspec

from phoenix_channels.definitions import DefinitionError
from phoenix_channels.protocol.messages import PHX_JOIN, PHX_LEAVE, Payload
from phoenix_channels.results import Reply, Stop
from phoenix_channels.schemas import Schema, type_name

IncomingMethod: TypeAlias = Callable[[Any, Any], Awaitable[Reply | Stop | None] | Reply | Stop | None]
InterceptMethod: TypeAlias = Callable[[Any, Any], Awaitable[Stop | None] | Stop | None]
I = TypeVar("I", bound=IncomingMethod)  # noqa: E741
O = TypeVar("O", bound=InterceptMethod)  # noqa: E741

_MARK: Final = "__phoenix_channels_mark__"
_NAMESPACE: Final = "__phoenix_channels_namespace__"


@final
class _Mark(msgspec.Struct, frozen=True):
    kind: str
    event: str


def _mark(kind: str, method: Any, *, event: str) -> Any:
    if not inspect.isfunction(method):
        raise DefinitionError(f"@{kind} marks a method, not {method!r}")
    if hasattr(method, _MARK):
        raise DefinitionError(f"{method.__qualname__} is marked twice; one method handles one event")
    setattr(method, _MARK, _Mark(kind, event))
    return method


@overload
def incoming(method: I, /) -> I: ...
@overload
def incoming(event: str, /) -> Callable[[I], I]: ...
def incoming(argument: Any = None, /) -> Any:
    """Mark a method as the handler of one event that clients push.

    ``@incoming`` takes the event's name from the method, ``@incoming("event-name")`` names it.  The method is ``def``
    (it runs on the event loop, so it must not block) or ``async def``, takes exactly one payload, and returns
    ``None``, a :class:`Reply` or a :class:`Stop`.

    The payload's annotation is its schema: a msgspec ``Struct``, a dataclass, a ``TypedDict``, ``dict``, ``list``,
    ``str``, ``int``, unions and so on; ``bytes`` means a binary frame; ``Any`` or no annotation takes everything.  A
    payload that does not fit is answered with an error reply, ``{"reason": "invalid payload", "detail": ...}``, and
    the method is not called.

    Raises:
        DefinitionError: the argument is neither a method nor the name of an event.
    """
    if isinstance(argument, str):
        return partial(_mark, "incoming", event=argument)
    if not callable(argument):
        given = "" if argument is None else repr(argument)
        raise DefinitionError(f"legal are @incoming and @incoming('event-name'), not @incoming({given})")
    return _mark("incoming", argument, event=getattr(argument, "__name__", ""))


def intercept(event: str, /) -> Callable[[O], O]:
    """Mark a method that gets a broadcast event of the channel's topic instead of its client (P-076).

    The method decides what the client sees, usually by ``self.push(event, ...)``.  It takes exactly one payload (its
    own decoded copy) and returns ``None`` or a :class:`Stop`; nobody waits for a reply here.

    Raises:
        DefinitionError: the argument is not the name of an event.
    """
    if not isinstance(event, str):
        raise DefinitionError(f"legal is @intercept('event-name'), not @intercept({event!r})")

    def decorate(method: O) -> O:
        marked: O = _mark("intercept", method, event=event)
        return marked

    return decorate


def check_callback(cls: type, name: str, *parameters: str) -> None:
    """Refuse a callback that could not be called, or whose result nobody could use.

    Raises:
        DefinitionError: naming the form it has to have.
    """
    method: Any = inspect.unwrap(getattr(cls, name))
    code: types.CodeType | None = getattr(method, "__code__", None)
    if code is None or not (
        code.co_argcount - len(method.__defaults__ or ()) <= len(parameters) + 1
        and (code.co_argcount > len(parameters) or code.co_flags & inspect.CO_VARARGS)
        and len(method.__kwdefaults__ or ()) == code.co_kwonlyargcount
    ):
        form = ", ".join(("self", *parameters))
        raise DefinitionError(f"{cls.__qualname__}.{name} has to be a method of this form: `def {name}({form})`")
    _refuse_generator(f"{cls.__qualname__}.{name}", method)


def _refuse_generator(where: str, method: Any) -> None:
    if inspect.isasyncgenfunction(method) or inspect.isgeneratorfunction(method):
        raise DefinitionError(f"{where} is a generator; legal are `def` and `async def`")


def payload_name(method: Any) -> str | None:
    """The name of the one payload of ``def method(self, payload)``; None when the method has another form."""
    code: types.CodeType | None = getattr(inspect.unwrap(method), "__code__", None)
    # Not inspect.signature: from Python 3.14 on it evaluates the annotations, whose names may not exist yet.
    if (
        code is None
        or code.co_argcount != 2
        or code.co_kwonlyargcount
        or code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS)
    ):
        return None
    return code.co_varnames[1]


def _annotation(method: Any, name: str) -> Any:
    function = inspect.unwrap(method)
    if sys.version_info >= (3, 14):
        import annotationlib  # noqa: PLC0415

        annotations = annotationlib.get_annotations(function, format=annotationlib.Format.FORWARDREF)
        found = annotations.get(name, inspect.Parameter.empty)
        return found.__forward_arg__ if isinstance(found, annotationlib.ForwardRef) else found
    return function.__annotations__.get(name, inspect.Parameter.empty)


def keep_namespace(cls: type, methods: Iterable[str]) -> None:
    """Remember the local names that the payload annotations of a class use, if a function is defining it.

    Module-level names are looked up later, when all of them exist; local ones are gone by then.
    """
    frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    while frame.f_back is not None and frame.f_code.co_name == "__init_subclass__":
        frame = frame.f_back
    if frame.f_locals is frame.f_globals:
        return
    names: set[str] = set()
    for name in methods:
        method = getattr(cls, name)
        parameter = payload_name(method)
        annotation = None if parameter is None else _annotation(method, parameter)
        if annotation is not None:
            names.update(re.findall(r"[^\W\d]\w*", str(annotation)))
    setattr(cls, _NAMESPACE, {name: frame.f_locals[name] for name in names if name in frame.f_locals})


def marked_methods(cls: type, base: type) -> tuple[dict[str, str], dict[str, str]]:
    """The marked methods of a channel class, inherited ones included: event to method name, incoming and intercepted.

    Raises:
        DefinitionError: two methods for one event, a method named like one of ``base``, or one of the wrong form.
    """
    found: dict[str, dict[str, str]] = {"incoming": {}, "intercept": {}}
    for name in {name: None for klass in reversed(cls.__mro__) for name in vars(klass)}:
        method = inspect.getattr_static(cls, name)
        mark: _Mark | None = getattr(method, _MARK, None)
        where = f"{cls.__qualname__}.{name}"
        if not inspect.isfunction(method):
            inner = (getattr(method, attribute, None) for attribute in ("__func__", "fget", "func", "__wrapped__"))
            if any(hasattr(function, _MARK) for function in inner):
                raise DefinitionError(f"{where}: a handler is a plain method, not a {type(method).__name__}")
            continue
        if mark is None:
            if any(hasattr(vars(klass).get(name), _MARK) for klass in cls.__mro__):
                raise DefinitionError(
                    f"{where} overrides a handler without its mark: mark it too, or remove the handler by {name} = None"
                )
            continue
        if hasattr(base, name):
            own = ", ".join(item for item in sorted(dir(base)) if not item.startswith("_"))
            raise DefinitionError(
                f"{where}: a handler must not be named like an attribute of {base.__name__} ({own}); "
                f"give the method another name and write @{mark.kind}({mark.event!r})"
            )
        if payload_name(method) is None:
            raise DefinitionError(f"{where} has to take exactly one payload: `def {name}(self, payload: ...)`")
        _refuse_generator(where, method)
        if mark.kind == "incoming" and mark.event in (PHX_JOIN, PHX_LEAVE):
            raise DefinitionError(f"{where}: {mark.event} never reaches a handler; override join or terminate")
        other = found[mark.kind].setdefault(mark.event, name)
        if other != name:
            raise DefinitionError(
                f"{cls.__qualname__}: {other} and {name} both handle the {mark.kind} event {mark.event!r}; "
                "one event has one handler"
            )
    return found["incoming"], found["intercept"]


def _evaluate(annotation: Any, scope: dict[str, Any]) -> Any:
    """An annotation with everything in it that is written as a string evaluated, at any depth."""
    if annotation is inspect.Parameter.empty:
        return annotation

    def stand_in() -> None: ...

    # typing's own evaluation, of this one annotation: what else the signature names may not exist.
    stand_in.__annotations__ = {"payload": annotation}
    return get_type_hints(stand_in, scope, include_extras=True)["payload"]


def schema_of(cls: type, name: str) -> Schema:
    """The schema of the payload of one method, its annotation resolved.

    Only that annotation is evaluated: what else the signature names may exist for type checkers alone.

    Raises:
        DefinitionError: it cannot be resolved, or msgspec cannot decode it.
    """
    owner = next(klass for klass in cls.__mro__ if name in vars(klass))
    method = inspect.unwrap(vars(owner)[name])
    parameter = payload_name(method)
    if parameter is None:
        raise DefinitionError(f"{cls.__qualname__}.{name} has to be a method with one payload: `{name}(self, payload)`")
    _refuse_generator(f"{cls.__qualname__}.{name}", method)
    annotation = _annotation(method, parameter)
    where = f"{cls.__qualname__}.{name}: the annotation of {parameter!r}"
    # From the outermost to the innermost, as names are looked up where the method stands.
    scope = {**vars(builtins), **method.__globals__, **vars(owner).get(_NAMESPACE, {}), **vars(owner)}
    source, annotation = annotation, None
    try:
        annotation = _evaluate(source, scope)
    except Exception as error:
        raise DefinitionError(
            f"{where}, {source!r}, cannot be resolved: {error}.  It is needed at run time, so its names must not be "
            "imported under `if TYPE_CHECKING:` only, and a class local to a function has to stand above the channel "
            "class that uses it"
        ) from error
    try:
        return Schema(annotation)
    except Exception as error:
        raise DefinitionError(
            f"{where}, {type_name(annotation)}, cannot be decoded: {error}.  Legal are msgspec Structs, dataclasses, "
            "TypedDicts, dict, list, str, int, float, bool, None, bytes, unions of them, Any, and whatever else "
            "msgspec decodes"
        ) from error


@final
class Handler(msgspec.Struct, frozen=True):
    """One marked method and the schema of its payload."""

    method: Callable[[Any, Any], Any]
    schema: Schema

    def __call__(self, channel: object, payload: Payload) -> Any:
        """Decode the payload and call the method: its result, or the awaitable of an ``async def``.

        Raises:
            InvalidPayload: the payload does not fit; the method was not called.
        """
        return self.method(channel, self.schema.decode(payload))


@final
class HandlerTable(msgspec.Struct, frozen=True):
    """Everything of a channel class that is called with a payload, resolved and ready."""

    join: Handler
    incoming: Mapping[str, Handler]
    intercepts: Mapping[str, Handler]

    @classmethod
    def of(cls, channel_class: type, base: type) -> HandlerTable:
        """Resolve the annotations of a channel class.

        Raises:
            DefinitionError: one cannot be resolved or decoded.
        """
        incoming_methods, intercept_methods = marked_methods(channel_class, base)

        def resolve(methods: Mapping[str, str]) -> dict[str, Handler]:
            return {
                event: Handler(getattr(channel_class, name), schema_of(channel_class, name))
                for event, name in methods.items()
            }

        join = Handler(channel_class.join, schema_of(channel_class, "join"))  # type: ignore[attr-defined]
        return cls(join, resolve(incoming_methods), resolve(intercept_methods))
