"""The rules of a mock server as a file, for those who do not test in Python.

The tables ``connect``, ``join``, ``push`` and ``heartbeat`` are lists of rules in order; ``do`` of a rule says what is
done, in order, ``times`` how often::

    [[join]]
    topic = "room:*"
    do = [{ delay = 0.5 }, { refuse = { reason = "full" } }]
    times = 2

    [[push]]
    topic = "room:*"
    event = "ping"
    payload = { n = 1 }
    do = [{ reply = "ok", payload = { pong = true } }, { push = "event", base64 = "AAEC" }, "drop"]
"""

from __future__ import annotations

import os
import re
import tomllib
from base64 import b64decode
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from phoenix_channels.definitions import DefinitionError
from phoenix_channels.protocol.errors import EncodeError
from phoenix_channels.testing.matching import ANYTHING
from phoenix_channels.testing.mock.rules import ConnectRule, HeartbeatRule, JoinRule, PushRule, Rules

_AnyRule = ConnectRule | JoinRule | PushRule | HeartbeatRule
_BARE: Final = {
    ConnectRule: ("silent",),
    JoinRule: ("silent", "crash", "close_channel", "drop"),
    PushRule: ("silent", "crash", "close_channel", "drop"),
    HeartbeatRule: ("silent", "drop"),
}
"""What is done without arguments, by the kind of the rule."""
_WITH: Final = {
    ConnectRule: ("delay", "refuse"),
    JoinRule: ("delay", "reply", "refuse", "push", "broadcast", "close"),
    PushRule: ("delay", "reply", "push", "broadcast", "close"),
    HeartbeatRule: ("delay", "close"),
}
"""What is a table, by the kind of the rule."""
_VERBS: Final = frozenset(name for names in _WITH.values() for name in names)
_PLACE: Final = re.compile(r" - at `\$(?:\.(\w+))?(?:\[(\d+)\])?(?:\.do\[(\d+)\])?")


class ScriptError(ValueError):
    """A script that is no list of rules; the text names the file and the rule."""


class _Action(Struct, forbid_unknown_fields=True, kw_only=True):
    delay: float | UnsetType = UNSET
    refuse: Any = UNSET
    reply: str | UnsetType = UNSET
    push: str | UnsetType = UNSET
    broadcast: str | UnsetType = UNSET
    close: int | UnsetType = UNSET
    payload: Any = UNSET
    base64: str | UnsetType = UNSET


class _Rule(Struct, forbid_unknown_fields=True, kw_only=True):
    do: list[str | _Action] = []
    times: int | None = None


@final
class _Connect(_Rule, forbid_unknown_fields=True, kw_only=True):
    params: Any = UNSET

    def begin(self, rules: Rules) -> ConnectRule:
        return rules.on_connect(_pattern(self.params))


@final
class _Join(_Rule, forbid_unknown_fields=True, kw_only=True):
    topic: str
    payload: Any = UNSET

    def begin(self, rules: Rules) -> JoinRule:
        return rules.on_join(self.topic, _pattern(self.payload))


@final
class _Push(_Rule, forbid_unknown_fields=True, kw_only=True):
    topic: str
    event: str | None = None
    payload: Any = UNSET

    def begin(self, rules: Rules) -> PushRule:
        return rules.on_push(self.topic, self.event, _pattern(self.payload))


@final
class _Heartbeat(_Rule, forbid_unknown_fields=True, kw_only=True):
    def begin(self, rules: Rules) -> HeartbeatRule:
        return rules.on_heartbeat()


@final
class _Script(Struct, forbid_unknown_fields=True):
    connect: list[_Connect] = []
    join: list[_Join] = []
    push: list[_Push] = []
    heartbeat: list[_Heartbeat] = []

    @property
    def rules(self) -> Iterator[tuple[str, _Connect | _Join | _Push | _Heartbeat]]:
        """Each with what it is called."""
        for kind in self.__struct_fields__:
            for number, rule in enumerate(getattr(self, kind), 1):
                yield f"{kind} rule {number}", rule


_RULES: Final[dict[str, type[_Rule]]] = {"connect": _Connect, "join": _Join, "push": _Push, "heartbeat": _Heartbeat}


def load_script(rules: Rules, path: str | os.PathLike[str]) -> None:
    """Add the rules of a TOML file.

    Raises:
        ScriptError: it cannot be read, or a rule in it is wrong.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScriptError(f"{os.fspath(path)} cannot be read: {error}") from error
    add_script(rules, text, os.fspath(path))


def add_script(rules: Rules, text: str, source: str) -> None:
    """As :func:`load_script`, of a text; ``source`` is what errors call it."""
    try:
        script = msgspec.convert(tomllib.loads(text), _Script)
    except tomllib.TOMLDecodeError as error:
        raise ScriptError(f"{source} is no TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise ScriptError(f"{source}: {_placed(str(error))}") from error
    for name, given in script.rules:
        with _place(f"{source}: {name}"):
            rule = given.begin(rules)
            if given.times is not None:
                rule.times(given.times)
        for number, action in enumerate(given.do, 1):
            with _place(f"{source}: {name}, action {number}"):
                _do(rule, action)


def _placed(text: str) -> str:
    """An error of msgspec with the rule where others have it: in front, and counted from 1."""
    found = _PLACE.search(text)
    if found is None or found[2] is None:
        if found is not None and found[1] in _RULES and "got `object`" in text:
            return f"each rule is a table of a list: write [[{found[1]}]], with two brackets"
        return f"{text}; legal are the tables {', '.join(f'[[{name}]]' for name in _Script.__struct_fields__)}"
    kind, rule, action = found[1], int(found[2]) + 1, found[3]
    where = f"{kind} rule {rule}" if action is None else f"{kind} rule {rule}, action {int(action) + 1}"
    field, what = text[found.end() :].strip("`."), text[: found.start()]
    if "unknown field" in what:
        fields = _RULES[kind].__struct_fields__ if action is None else _Action.__struct_fields__
        what = f"{what}; legal are {', '.join(fields)}"
    return f"{where}{f', {field}' if field else ''}: {what}"


@contextmanager
def _place(name: str) -> Generator[None]:
    try:
        yield
    except (DefinitionError, EncodeError, ValueError) as error:
        raise ScriptError(f"{name}: {error}") from error


def _do(rule: _AnyRule, action: str | _Action) -> None:
    bare, tables = _BARE[type(rule)], _WITH[type(rule)]
    legal = f"legal are {', '.join(map(repr, bare))}, and tables with one of {', '.join(tables)}"
    if isinstance(action, str):
        if action not in bare:
            raise DefinitionError(f"{action!r:.200} is nothing that is done here; {legal}")
        getattr(rule, action)()
        return
    verbs = [name for name in sorted(_VERBS) if getattr(action, name) is not UNSET]
    if len(verbs) != 1 or verbs[0] not in tables:
        raise DefinitionError(f"a table with {' and '.join(verbs) or 'nothing to do'}; {legal}")
    verb, given = verbs[0], getattr(action, verbs[0])
    if verb in ("reply", "push", "broadcast"):
        payload = _payload(action)
        if verb != "reply":
            getattr(rule, verb)(given, payload)
        elif isinstance(rule, PushRule):
            rule.reply(payload, status=given)
        elif isinstance(rule, JoinRule):
            if given != "ok":
                raise DefinitionError(f"a join is replied to with 'ok', or refused; not {given!r:.200}")
            rule.reply(payload)
    elif action.payload is not UNSET or action.base64 is not UNSET:
        raise DefinitionError(f"{verb} has no payload besides its own value")
    else:
        getattr(rule, verb)(given)


def _payload(action: _Action) -> object:
    if action.base64 is UNSET:
        return {} if action.payload is UNSET else action.payload
    if action.payload is not UNSET:
        raise DefinitionError("an action has a payload or base64, not both")
    try:
        return b64decode(action.base64, validate=True)
    except ValueError as error:
        raise DefinitionError(f"base64 = {action.base64!r:.50} is no base64: {error}") from error


def _pattern(given: object) -> object:
    return ANYTHING if given is UNSET else given
