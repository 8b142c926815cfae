"""Prices for clients of any speed, from several processes.

Run it: ``python -m examples.quickstart.guides.fast_lane``.
"""

import os

from phoenix_channels import Channel, Endpoint, Limits, Socket, incoming, serve


# Start: slow
class PriceChannel(Channel):
    """Who is behind gets the last price, and not those before it."""

    slow_consumer = "latest"

    @incoming
    def price(self, payload: float) -> None:
        self.broadcast("price", {"is": payload})


class UserSocket(Socket):
    channels = {"prices:*": PriceChannel}


endpoint = Endpoint(limits=Limits(outbox_bytes=256 * 1024))
endpoint.socket("/socket", UserSocket)
# End: slow


# Start: serve
def main() -> None:
    serve(
        "examples.quickstart.guides.fast_lane:endpoint",
        host="127.0.0.1",
        port=int(os.environ.get("PORT", "4000")),
        workers=int(os.environ.get("WORKERS", "1")),
    )


if __name__ == "__main__":
    main()
# End: serve
