"""What a client misses that does not keep up: nothing, or what its channel can do without."""

from collections import Counter
from collections.abc import Hashable, Mapping
from typing import Any

from phoenix_channels import Channel, Endpoint, Latest, Limits, Reply, Socket, incoming, telemetry


# Start: policies
class ChatChannel(Channel):
    """Every message counts: who falls behind comes back, and its join tells what there was meanwhile."""

    slow_consumer = "disconnect"


class LogChannel(Channel):
    """The end of a log is what somebody looks at who comes back to it."""

    slow_consumer = "drop_oldest"


class IncidentChannel(Channel):
    """The first lines say what went wrong, the next thousand are its consequences."""

    slow_consumer = "drop_newest"


class ScoreChannel(Channel):
    """Each of its events carries the whole state: a newer one makes an older one worthless."""

    slow_consumer = "latest"


# End: policies


# Start: key
def instrument(event: str, payload: Any) -> Hashable:
    return event, payload["symbol"]


class PriceChannel(Channel):
    """The whole state, too, but one for each of hundreds of instruments."""

    slow_consumer = Latest(key=instrument)

    @incoming
    def ask(self, payload: str) -> Reply:
        return Reply.ok({"symbol": payload, "price": 1})


# End: key

# Start: count
DROPPED: Counter[str | None] = Counter()  # by topic; None: with the connection


def count_dropped(_: str, measurements: Mapping[str, float], metadata: Mapping[str, Any]) -> None:
    DROPPED[metadata["topic"]] += int(measurements["count"])


def start_counting() -> None:
    telemetry.attach("phoenix_channels.frames_dropped", count_dropped)


# End: count


class UserSocket(Socket):
    channels = {
        "chat:*": ChatChannel,
        "log:*": LogChannel,
        "incident:*": IncidentChannel,
        "score:*": ScoreChannel,
        "prices": PriceChannel,
    }


# Start: limits
endpoint = Endpoint(limits=Limits(outbox_bytes=256 * 1024))
endpoint.socket("/socket", UserSocket)
# End: limits
