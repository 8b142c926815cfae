"""A Sphinx extension: tables and a drawing of what the sources say, so that no page repeats it by hand."""

from __future__ import annotations

import logging
import re
import tomllib
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from docutils import nodes
from docutils.statemachine import StringList
from msgspec import Raw, Struct
from msgspec.structs import fields as struct_fields
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

import phoenix_channels
from phoenix_channels import (
    Channel,
    Drainer,
    Limits,
    LongPollOptions,
    RawSocket,
    SessionOptions,
    Socket,
    WebSocketOptions,
)
from phoenix_channels.protocol import events, states
from phoenix_channels.transports.options import MountOptions

# The alias Payload is a string, which the signatures of events evaluate in their own module.
vars(events).setdefault("Raw", Raw)

CONFORMANCE = Path(__file__).parents[1] / "tests/conformance"

# Requirements of the protocol's specification and rows of the feature list, as docstrings and the comparison name them;
# pages say it in words.
_REQUIREMENTS = re.compile(r" ?\((?:as )?(?:P-|[ABC])\d+(?:(?:, | to | and )(?:P-|[ABC])\d+)*\)")


def plain(text: str) -> str:
    """Text of a docstring as Markdown: one line, without the numbers of requirements."""
    return _REQUIREMENTS.sub("", " ".join(text.split())).replace("``", "`")


def attribute_docs(cls: type) -> dict[str, str]:
    """The docstrings below the attributes of a class and its bases, by attribute."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("phoenix_channels."):
            found = ModuleAnalyzer.for_module(base.__module__).find_attr_docs()
            docs |= {
                name: plain(" ".join(lines)) for (owner, name), lines in found.items() if owner == base.__qualname__
            }
    return docs


class Markdown(SphinxDirective):
    """A directive that stands for generated Markdown."""

    def run(self) -> list[nodes.Node]:
        container = nodes.container()
        self.state.nested_parse(StringList(list(self.lines()), self.get_source_info()[0]), 0, container)
        return container.children

    def lines(self) -> Iterable[str]:
        raise NotImplementedError


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    names = list(head)
    yield from ("", row(names), row("---" for _ in names), *(row(cells) for cells in rows), "")


def row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


class ClientTable(Markdown):
    """What a message of a client does, by state."""

    def lines(self) -> Iterable[str]:
        actions = attribute_docs(states.Action)
        yield from table(
            ("", *(f"{kind.name.lower()} arrives" for kind in states.Input)),
            (
                (f"**{state.name}**", *(actions[by_input[kind].name] for kind in states.Input))
                for state, by_input in states.CLIENT.items()
            ),
        )


class CommandTable(Markdown):
    """What the server may do, and the state it leads to."""

    def lines(self) -> Iterable[str]:
        befores = [state for state, to in states.COMMAND.items() if to]
        yield from table(
            ("", *(state.name for state in befores)),
            ((f"**{command.name}**", *(self.after(state, command) for state in befores)) for command in states.Command),
        )

    @staticmethod
    def after(state: states.State, command: states.Command) -> str:
        after = states.COMMAND[state].get(command)
        return "" if after is None else "stays" if after is state else f"→\N{NO-BREAK SPACE}{after.name}"


class StateTable(Markdown):
    """What the states mean."""

    def lines(self) -> Iterable[str]:
        meanings = dict(re.findall(r"^    ([A-Z]+) +(.+)$", states.__doc__ or "", re.MULTILINE))
        yield from table(("state", "meaning"), ((f"**{s.name}**", plain(meanings[s.name])) for s in states.State))


class OptionsTable(Markdown):
    """The options of a class: what each means, and its default.  The argument is the public name of the class."""

    required_arguments = 1

    def lines(self) -> Iterable[str]:
        name = self.arguments[0]
        options = _OPTIONS[name]
        docs = attribute_docs(options)
        # A TypedDict has no defaults: its docstrings say them.
        has_defaults = issubclass(options, Struct)
        rows = (
            (f"`{option}`", *([default] if has_defaults else []), docs[option]) for option, default in self.of(options)
        )
        yield from table((f"`{name}(...)`", *(["default"] if has_defaults else []), "meaning"), rows)

    @staticmethod
    def of(options: type) -> Iterator[tuple[str, str]]:
        if not issubclass(options, Struct):
            yield from ((name, "") for name in options.__annotations__)
            return
        fields = {field.name: field for field in struct_fields(options)}
        for name in options.__struct_fields__:
            yield name, "required" if fields[name].required else shown(name, fields[name].default)


_OPTIONS: dict[str, type] = {
    cls.__name__: cls for cls in (Drainer, Limits, LongPollOptions, MountOptions, SessionOptions, WebSocketOptions)
}


def shown(name: str, default: object) -> str:
    """A default as its reader would write it."""
    if isinstance(default, int | float) and not isinstance(default, bool):
        return f"`{logging.getLevelName(default)}`" if name == "log" else f"{default:,.10g}"
    return "" if callable(default) else f"`{default!r}`"


class TimesTable(Markdown):
    """The bounds that are attributes of classes."""

    def lines(self) -> Iterable[str]:
        yield from table(
            ("attribute", "default", "what it bounds, and what happens there"),
            (
                (f"`{cls.__name__}.{name}`", f"{getattr(cls, name):,}", attribute_docs(cls)[name])
                for cls, name in (
                    (Socket, "max_channels"),
                    (Socket, "connect_timeout"),
                    (Channel, "join_timeout"),
                    (Channel, "shutdown"),
                    (RawSocket, "shutdown"),
                )
            ),
        )


_TABLES = {
    "all": "every server",
    "http": "every server with HTTP",
    "asgi": "every ASGI server",
    "fast": "the fast lane",
}
"""What the tables of ``allowed.toml`` are about."""


class Scenarios(Markdown):
    """The recorded scenarios that may differ, for the reason that the argument begins."""

    required_arguments = 1
    final_argument_whitespace = True

    def lines(self) -> Iterable[str]:
        rows = list(self.rows(self.arguments[0]))
        head = ("server", "scenario", "what differs")
        # Where the argument is the whole reason, there is nothing to add.
        columns = 3 if any(row[2] for row in rows) else 2
        yield from table(head[:columns], (row[:columns] for row in rows))

    @staticmethod
    def rows(prefix: str) -> Iterator[tuple[str, str, str]]:
        allowed: dict[str, dict[str, str]] = tomllib.loads((CONFORMANCE / "allowed.toml").read_text(encoding="utf-8"))
        for server, scenarios in allowed.items():
            for scenario, reason in scenarios.items():
                if reason.startswith(prefix):
                    yield _TABLES.get(server, server), f"`{scenario}`", plain(reason.removeprefix(prefix).lstrip(": "))


class ServerLimits(Scenarios):
    """What one server makes impossible; the argument is its name."""

    def lines(self) -> Iterable[str]:
        rows = [row[1:] for row in self.rows("server limit") if row[0] == self.arguments[0]]
        yield from table(("scenario", "what differs"), rows)


class ServerTable(Markdown):
    """What the comparison has found out about each server, and about Phoenix by the same scenarios."""

    def lines(self) -> Iterable[str]:
        found: dict[str, dict[str, str]] = results()["capabilities"]
        yield from table(
            ("", *(f"**{server}**" if server == "Phoenix" else _TABLES.get(server, server) for server in found)),
            ((name, *(row[name] for row in found.values())) for name in found["Phoenix"]),
        )


class ScenarioCounts(Markdown):
    """How the scenarios came out on each server."""

    def lines(self) -> Iterable[str]:
        found: dict[str, dict[str, list[str]]] = results()["scenarios"]
        with (CONFORMANCE / "phoenix-1.8.12.jsonl").open(encoding="utf-8") as recording:
            total = sum(1 for _ in recording)
        kinds = ("race", "deviation", "server limit", "presence")
        counts = {server: {kind: len(its.get(kind, ())) for kind in kinds} for server, its in found.items()}
        yield from table(
            ("", *(_TABLES.get(server, server) for server in found)),
            (
                ("equal", *(str(total - sum(its.values())) for its in counts.values())),
                *((kind, *(str(its[kind]) for its in counts.values())) for kind in kinds),
                ("**all**", *(str(total) for _ in found)),
            ),
        )


def results() -> dict[str, Any]:
    return tomllib.loads((CONFORMANCE / "results.toml").read_text(encoding="utf-8"))


class StateDiagram(SphinxDirective):
    """The states of a joined topic and the commands between them, drawn from the table."""

    WIDTH, HEIGHT, GAP = 118, 34, 42

    def run(self) -> list[nodes.Node]:
        return [nodes.raw("", "\n".join(self.svg()), format="html")]

    def svg(self) -> Iterator[str]:
        order = list(states.State)
        edges = [(order.index(start), order.index(end), label) for start, end, label in self.edges()]
        above = max(self.reach(start, end) for start, end, _ in edges if not self.is_below(start))
        below = max(self.reach(start, end) for start, end, _ in edges if self.is_below(start))
        width, height = self.left(len(order)) - self.GAP, above + self.HEIGHT + below + 8
        yield (
            f'<svg viewBox="-1 {-above} {width + 2} {height}" role="img" aria-label="The states of a joined topic" '
            'style="width: 100%" font-size="13" font-family="sans-serif" fill="currentColor" stroke="none">'
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
            '<path d="M0 0 8 4 0 8z"/></marker></defs>'
        )
        for place, state in enumerate(order):
            x = self.left(place)
            yield (
                f'<rect x="{x}" y="0" width="{self.WIDTH}" height="{self.HEIGHT}" rx="6" fill="none" '
                f'stroke="currentColor"/><text x="{x + self.WIDTH / 2}" y="22" text-anchor="middle">{state.name}</text>'
            )
        yield from (self.edge(*edge) for edge in edges)
        yield "</svg>"

    @staticmethod
    def edges() -> Iterator[tuple[states.State, states.State, str]]:
        for start, to in states.COMMAND.items():
            for end in dict.fromkeys(to.values()):
                if end is not start:
                    yield start, end, ", ".join(command.name for command, other in to.items() if other is end)

    @staticmethod
    def is_below(start: int) -> bool:
        """Neighbours are joined by a straight line; longer ways go above the boxes, or below from every other one."""
        return start % 2 == 1

    @staticmethod
    def reach(start: int, end: int) -> int:
        """How far from the boxes the label of an edge is, its own height included."""
        return 18 + 26 * (end - start)

    def left(self, place: int) -> int:
        return place * (self.WIDTH + self.GAP)

    def edge(self, start: int, end: int, label: str) -> str:
        if end == start + 1:
            x = self.left(end)
            return self.path(f"M{x - self.GAP} {self.HEIGHT / 2}H{x - 1}", x - self.GAP / 2, -6, label)
        from_x, to_x = self.left(start) + self.WIDTH / 2, self.left(end) + self.WIDTH / 2 - 8 * (end - start)
        # The highest point of the curve is at three quarters of the distance of its control points.
        peak = self.reach(start, end) - 16
        y, top, text = 0, -peak / 0.75, -peak - 4
        if self.is_below(start):
            y, top, text = self.HEIGHT, self.HEIGHT + peak / 0.75, self.HEIGHT + peak + 14
        return self.path(f"M{from_x} {y}C{from_x} {top} {to_x} {top} {to_x} {y}", (from_x + to_x) / 2, text, label)

    @staticmethod
    def path(line: str, x: float, y: float, label: str) -> str:
        return (
            f'<path d="{line}" fill="none" stroke="currentColor" marker-end="url(#tip)"/>'
            f'<text x="{x}" y="{y}" text-anchor="middle" font-size="11">{label}</text>'
        )


def trim_code(_: Sphinx, doctree: nodes.document) -> None:
    """Leave out the blank lines between a part of a file and the comment that ends it."""
    for block in doctree.findall(nodes.literal_block):
        block.rawsource = block.astext().rstrip()
        block[:] = [nodes.Text(block.rawsource)]


# The reference


def _public_names() -> dict[str, str]:
    """Where a public object is defined, and the name under which users know it."""
    public = ((name, getattr(phoenix_channels, name)) for name in dir(phoenix_channels) if not name.startswith("_"))
    return {
        f"{item.__module__}.{item.__qualname__}": f"phoenix_channels.{name}"
        for name, item in public
        if isinstance(item, type) or callable(item)
    }


def tidy_docstring(*arguments: Any) -> None:
    """Leave out the numbers of requirements."""
    what, lines = arguments[1], arguments[-1]
    lines[:] = _REQUIREMENTS.sub("", "\n".join(lines)).split("\n")
    if what in ("attribute", "data", "property"):
        # Else napoleon takes what stands in front of a colon in the first line for a type.  This is an empty text.
        lines.insert(0, "\\ ")


def resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.TextElement) -> nodes.Node | None:
    """Find what has a public name by where it is defined, and the rest of our own by the end of its name.

    Type variables and names of other packages stay text.
    """
    if node.get("refdomain") != "py":
        return None
    target: str = node["reftarget"]
    node["refspecific"] = True
    domain = env.domains["py"]
    wanted = _public_names().get(target, target)
    found = domain.resolve_xref(env, node["refdoc"], app.builder, node["reftype"], wanted, node, contnode)
    if found is not None:
        return found
    ours = target.startswith("phoenix_channels.") and not isinstance(_import(target), TypeVar)
    return None if ours or node["reftype"] not in ("class", "data", "exc", "obj") else contnode


def _import(target: str) -> object:
    module, _, name = target.rpartition(".")
    try:
        return getattr(import_module(module), name, None)
    except ImportError:
        return None


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("client-table", ClientTable)
    app.add_directive("command-table", CommandTable)
    app.add_directive("state-diagram", StateDiagram)
    app.add_directive("state-table", StateTable)
    app.add_directive("options-table", OptionsTable)
    app.add_directive("times-table", TimesTable)
    app.add_directive("scenarios", Scenarios)
    app.add_directive("scenario-counts", ScenarioCounts)
    app.add_directive("server-limits", ServerLimits)
    app.add_directive("server-table", ServerTable)
    app.connect("autodoc-process-docstring", tidy_docstring, priority=400)  # before napoleon
    app.connect("doctree-read", trim_code)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
