"""Sockets, routes and endpoints that cannot work."""

from phoenix_channels import Broadcast, Channel, Endpoint, Limits, Reply, Socket, channel


class StatsChannel(Channel["UserSocket"]):
    def __init__(self, period: int) -> None:
        self.period = period

    async def after_join(self) -> None:
        print(self.socket.user_name)  # error


class UserSocket(Socket):
    user_id: str
    channels = {"stats:*": channel(StatsChannel, period=7)}

    def id(self) -> int:  # error
        return 21


channel(StatsChannel)  # error
channel(StatsChannel, period="a week")  # error
channel(StatsChannel, perod=7)  # error
channel(UserSocket)  # error

endpoint = Endpoint(hosts="example.com")  # error
endpoint.socket("/socket", UserSocket, check_orign=False)  # error
endpoint.socket("/socket", StatsChannel)  # error
endpoint.broadcast(21, "new_notification", {})  # error
endpoint.broadcast("notifications:21", {})  # error
Limits(outbox_bytes="much")  # error
Reply.ok({}).status = "error"  # error


async def main() -> None:
    async for broadcast in endpoint.subscribe("notifications:21"):
        wrong: str = broadcast  # error
        right: Broadcast = broadcast
        print(wrong, right)
    await endpoint.broadcast("notifications:21", "new_notification", {})  # error
