"""Which cases are tested with which version of the client, and why the others are not."""

import json
import re
import shutil
from pathlib import Path
from typing import NamedTuple

from tests.conformance.servers import SERVERS

HERE = Path(__file__).parent
CASES = {
    file.stem: re.findall(r"^export async function (\w+)\(t\)", file.read_text(encoding="utf-8"), re.MULTILINE)
    for file in sorted((HERE / "cases").glob("*.mjs"))
}
"""By the file they are in."""


class Rule(NamedTuple):
    """The versions that can do what a case is about, and what is the matter with the others."""

    reason: str
    since: str = "0"
    before: str = "99"

    def allows(self, version: str) -> bool:
        return number(self.since) <= number(version) < number(self.before)


def number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


BINARY = Rule("binary frames are younger than this client", since="1.5.7")
TOKEN = Rule("authToken is younger than this client", since="1.8.0")
RULES = {
    "app_that_disconnects_may_connect_again": Rule("its channels do not hear that the app disconnects", since="1.5.0"),
    "broadcast_of_bytes_passes_a_poller_by": BINARY,
    "bytes_are_answered_with_bytes": BINARY,
    "bytes_are_broadcast": BINARY,
    "bytes_are_pushed": BINARY,
    "bytes_travel_under_names_of_any_script": Rule("binary headers are Latin-1 (P-041)", since="1.8.7"),
    "bytes_where_json_is_expected_crash_the_channel_alone": BINARY,
    "client_of_version_1_gets_no_bytes_and_lives_on": BINARY,
    "join_may_be_answered_with_bytes": BINARY,
    "join_may_have_bytes_as_its_params": BINARY,
    "megabyte_of_bytes_goes_there_and_back": BINARY,
    "killed_server_is_found_again": Rule("to older clients it is like any other lost connection", since="1.8.0"),
    "ping_is_answered": Rule("socket.ping is younger than this client", since="1.6.10"),
    "token_arrives": TOKEN,
    "token_goes_along": TOKEN,
    "token_is_asked_for_on_every_connect": TOKEN,
    "token_of_a_mount_that_wants_none_is_ignored": TOKEN,
}
"""Over every transport."""

NEVER = "0"
NO_HEARTBEAT = Rule("no heartbeats over long polling (P-104)", before=NEVER)
NO_BYTES = Rule("the server sends no bytes over long polling (P-106)", before=NEVER)
BASE64 = Rule("bytes in base64 are younger than this client", since="1.7.7")
THROWS_403 = Rule("the client throws on a 403", since="1.5.0")
UNORDERED = Rule("every push is a POST of its own, and nothing keeps their order (P-148)", since="1.7.0")
SMALL_BATCHES = Rule("the client posts more messages at once than a server takes (P-148)", since="1.8.6")
NOTICES = Rule("the client does not notice that its session has gone (P-148)", since="1.8.2")
LONGPOLL_RULES = {
    "broadcast_precedes_what_the_channel_sends_next": UNORDERED,
    "broadcast_reaches_every_client": UNORDERED,
    "bytes_are_answered_with_bytes": NO_BYTES,
    "bytes_are_broadcast": NO_BYTES,
    "bytes_are_pushed": NO_BYTES,
    "bytes_are_taken_among_text": BASE64,
    "bytes_travel_under_names_of_any_script": NO_BYTES,
    "bytes_where_json_is_expected_crash_the_channel_alone": BASE64,
    "client_of_version_1_gets_no_bytes_and_lives_on": NO_BYTES,
    "disconnected_client_comes_back": NOTICES,
    "heartbeat_without_an_answer_ends_in_a_new_connection": NO_HEARTBEAT,
    "heartbeats_keep_an_idle_connection": NO_HEARTBEAT,
    "idle_connection_is_closed_and_comes_back": Rule("the idle timeout is about WebSocket", before=NEVER),
    "join_may_be_answered_with_bytes": NO_BYTES,
    "join_may_have_bytes_as_its_params": BASE64,
    "join_that_timed_out_is_left_and_tried_again": UNORDERED,
    "lost_connection_is_replaced": Rule("poll_that_fails_ends_in_a_new_session is its case", before=NEVER),
    "many_pushes_at_once_are_answered_in_order": SMALL_BATCHES,
    "megabyte_of_bytes_goes_there_and_back": NO_BYTES,
    "more_than_a_hundred_pushes_take_several_requests": SMALL_BATCHES,
    "pushes_of_one_turn_share_a_request": UNORDERED,
    "pushes_wait_for_a_request_under_way": UNORDERED,
    "pushes_wait_for_a_slow_join": UNORDERED,
    "refused_connect_is_retried_with_backoff": THROWS_403,
    "second_channel_of_one_topic_takes_over": UNORDERED,
    "session_that_is_gone_is_continued_by_another": Rule(
        "the client notices that its session has gone", before="1.8.2"
    ),
    "topic_may_be_left_and_joined_at_once": UNORDERED,
    "version_nobody_speaks_is_refused": THROWS_403,
}
FALLBACK = Rule("longPollFallbackMs is younger than this client", since="1.7.11")
CHROMIUM_RULES = {
    "poll_that_fails_ends_in_a_new_session": Rule("a GET whose kept connection is lost is sent again", before=NEVER),
    "many_poll_side_by_side": Rule("a page has six connections to a host, and every poll takes one", before=NEVER),
}
ALL_RULES = (RULES, LONGPOLL_RULES, CHROMIUM_RULES)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
"""Where it is."""


class Target(NamedTuple):
    """A version of the client, where it runs, a server, and a transport; ``str`` gives its name."""

    version: str
    server: str
    transport: str
    runtime: str = "node"

    def __str__(self) -> str:
        return "-".join((self.version, self.server if self.runtime == "node" else self.runtime, self.transport))

    def cases(self) -> list[str]:
        """The cases that its rules allow. Those of ``fallback`` are about both transports, and have a target for it."""
        files = ["fallback"] if self.transport == "fallback" else [file for file in CASES if file != "fallback"]
        if self.transport == "websocket":
            files.remove("longpoll")
        return [case for file in files for case in CASES[file] if self._allows(case)]

    def _allows(self, case: str) -> bool:
        rules = [RULES.get(case)]
        if self.transport == "longpoll":
            rules.append(LONGPOLL_RULES.get(case))
        if self.transport == "fallback":
            rules.append(FALLBACK)
        if self.runtime == "chromium":
            rules.append(CHROMIUM_RULES.get(case))
        return all(rule is None or rule.allows(self.version) for rule in rules)


def versions() -> list[str]:
    """The newest first."""
    packages: dict[str, str] = json.loads((HERE / "package.json").read_text(encoding="utf-8"))["dependencies"]
    found = [version.removeprefix("npm:phoenix@") for name, version in packages.items() if name.startswith("phoenix")]
    return sorted(found, key=number, reverse=True)


VERSIONS = versions()
TARGETS = {
    str(target): target
    for target in (
        # What old versions do differently they do on any server, and every target takes seconds.
        *(Target(version, "fast", "websocket") for version in VERSIONS[:2]),
        *(Target(version, server, "websocket") for version in VERSIONS for server in SERVERS if server != "fast"),
        # Polls are uvicorn's business, also where there is the fast lane.
        *(Target(version, "uvicorn", transport) for version in VERSIONS for transport in ("longpoll", "fallback")),
        Target(VERSIONS[0], "fast", "websocket", "chromium"),
        Target(VERSIONS[0], "uvicorn", "longpoll", "chromium"),
        Target(VERSIONS[0], "fast", "fallback", "chromium"),
    )
}
WANTED = [(name, case) for name, target in TARGETS.items() for case in target.cases()]
