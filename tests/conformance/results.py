"""What the comparison finds out about each server: the committed ``results.toml``, which the documentation shows.

The file has no times and no order of events in it, so that it changes only with what a server does.
"""

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).with_name("results.toml")
KINDS = ("deviation", "server limit", "presence", "race")

Log = Sequence[str]


class Results(NamedTuple):
    """What is known of one server."""

    kinds: Mapping[str, str]
    """By scenario, "equal" or one of ``KINDS``; the file leaves out those that are equal."""
    table: Mapping[str, str]
    """By the name of a capability."""


class Capability(NamedTuple):
    """One row of the table of servers: what one scenario's log says."""

    name: str
    scenario: str
    judge: Callable[[Log, bool], str]
    """Given the log, and whether it is equal to Phoenix's."""


def statuses(log: Log, equal: bool) -> str:
    return commas(found for entry in log for found in re.findall(r" http ([45]\d\d)", entry))


def closes(log: Log, equal: bool) -> str:
    """The codes of the server's close frames, and whether there is one at all."""
    frames = [found for entry in log if (found := re.match(r"[\w-]+<close (\S+) '(.*)'", entry))]
    said = commas("no code" if frame[1] == "none" else frame[1] for frame in frames)
    if any(frame[2] for frame in frames):
        said += ", with a reason"
    if any(re.match(r"[\w-]+<eof", entry) for entry in log):
        said += " or no close frame" if said else "no close frame"
    return said or "nothing"


def echo_of_close(log: Log, equal: bool) -> str:
    return closes(log, equal) if equal else "the client's code"


def either(yes: str, no: str) -> Callable[[Log, bool], str]:
    return lambda _, equal: yes if equal else no


def frame_limit(log: Log, equal: bool) -> str:
    if any(entry.startswith("b<close") for entry in log):
        return "messages"
    return "frames" if any(entry.startswith("a<close") for entry in log) else "nothing"


def judged(log: Log, equal: bool) -> str:
    return commas(found for entry in log for found in re.findall(r"'([\w-]+)' header must", entry))


def upgraded(client: str) -> Callable[[Log, bool], str]:
    return lambda log, _: "yes" if any(entry.startswith(f"{client} http 101 ") for entry in log) else "no"


CAPABILITIES = (
    Capability("status of a refusal: no such path", "hs_paths", statuses),
    Capability("status of a refusal: malformed query", "hs_query_bad_utf8", statuses),
    Capability("headers of an upgrade that the endpoint judges", "hs_bad_headers", judged),
    Capability("`auth_token`", "hs_auth_token", upgraded("a")),
    Capability("`auth_token` that ends in `=`", "hs_auth_token", upgraded("j")),
    Capability("a mount without `compress` declines compression", "hs_extensions_offered", either("yes", "no")),
    Capability("`max_frame_size` bounds", "ext_max_frame_size", frame_limit),
    Capability("pings count for the idle timeout", "ext_idle_timeout_ping", either("yes", "no")),
    Capability("close code of `disconnect`", "disconnect_broadcast", closes),
    Capability("close code of a malformed message", "bad_not_json", closes),
    Capability("answer to a client's close frame", "ws_client_close", echo_of_close),
    Capability("answer to a broken frame", "ws_bad_frames", closes),
    Capability("requests beside the handshake", "http_broadcast", either("yes", "no")),
    Capability("long polling", "lp_join_and_echo", either("yes", "no")),
)


def capabilities(recorded: Mapping[str, tuple[Log, bool]]) -> dict[str, str]:
    """The rows for one server, of the scenarios that were recorded: by name, log and whether it is equal."""
    return {row.name: row.judge(*recorded[row.scenario]) for row in CAPABILITIES if row.scenario in recorded}


def commas(words: Iterable[str]) -> str:
    return ", ".join(sorted(set(words)))


# The file


def load() -> dict[str, Results]:
    content = tomllib.loads(FILE.read_text(encoding="utf-8"))
    kinds = {
        server: {scenario: kind for kind, scenarios in by_kind.items() for scenario in scenarios}
        for server, by_kind in content["scenarios"].items()
    }
    return {server: Results(kinds.get(server, {}), table) for server, table in content["capabilities"].items()}


def stale(found: Mapping[str, Results]) -> list[str]:
    """What the file says that is not so, and how to mend it; about what was found only, which may be a part."""
    lines = [line for server, its in found.items() for line in _stale(server, its)]
    return [*lines, "Rewrite it: python tests/conformance/run.py --all --write"] if lines else []


def _stale(server: str, found: Results) -> Iterator[str]:
    committed = load().get(server, Results({}, {}))
    known = {**dict.fromkeys(found.kinds, "equal"), **committed.kinds, **committed.table}
    now = {**found.kinds, **found.table}
    # When all of the table was found there may be nothing else in the file.
    for what in {**now, **known} if committed.table.keys() <= found.table.keys() else now:
        if known.get(what) != now.get(what):
            yield f"{FILE.name}: {server}: {what}: it says {known.get(what)!r}, and this run {now.get(what)!r}"


def write(found: Mapping[str, Results]) -> None:
    lines = ["# What each server makes of the scenarios, written by `python tests/conformance/run.py --all --write`."]
    for server, (_, table) in found.items():
        lines += [
            "",
            f"[capabilities.{server}]",
            *(f"{json.dumps(name)} = {json.dumps(table[name])}" for name in table),
        ]
    for server, (kinds, _) in found.items():
        if kinds:
            lines += ["", f"[scenarios.{server}]"]
        for kind in KINDS:
            names = sorted(scenario for scenario, its in kinds.items() if its == kind)
            if names:
                lines += [f"{json.dumps(kind)} = [", *(f"  {json.dumps(name)}," for name in names), "]"]
    FILE.write_text("\n".join(lines) + "\n", encoding="utf-8")
