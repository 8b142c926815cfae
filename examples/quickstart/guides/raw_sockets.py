"""A protocol of its own: prices by WebSocket, one short text for each."""

from collections import defaultdict
from typing import Any

from phoenix_channels import Endpoint, RawSocket, Stop, WebSocketOptions

WATCHERS: defaultdict[str, set["PriceSocket"]] = defaultdict(set)


# Start: socket
class PriceSocket(RawSocket):
    """A client says ``ACME`` to hear of that share, and gets ``ACME 12.5``; ``bye`` ends it."""

    def init(self) -> str:
        return "which shares?"

    def handle_in(self, data: str | bytes) -> str | Stop:
        if not isinstance(data, str):
            return "text, please"
        if data == "bye":
            return Stop()
        WATCHERS[data].add(self)
        return f"watching {data}"

    def handle_info(self, message: Any) -> str:
        share, price = message
        return f"{share} {price}"

    def terminate(self, reason: Any) -> None:
        for watchers in WATCHERS.values():
            watchers.discard(self)


endpoint = Endpoint()
endpoint.socket("/prices", PriceSocket)
# End: socket


# Start: publish
def publish(share: str, price: float) -> None:
    for watcher in WATCHERS[share].copy():
        watcher.send((share, price))


# End: publish

# Start: path
endpoint.socket("/live", PriceSocket, websocket=WebSocketOptions(path="/prices", subprotocols=["prices.v1"]))
# End: path
