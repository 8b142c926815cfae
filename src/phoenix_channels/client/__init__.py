"""A client of Phoenix Channels, on asyncio and trio: of this library's servers, and of those in Elixir.

::

    async with connect("ws://localhost:4000/socket", params={"token": token}) as socket:
        channel = await socket.join("notifications:21")
        await channel.push("mark_read", {"id": 3})
        async for message in channel:
            print(message.event, message.payload)
"""

from phoenix_channels.client.address import Params as Params
from phoenix_channels.client.channel import Channel as Channel
from phoenix_channels.client.errors import BufferFull as BufferFull
from phoenix_channels.client.errors import ChannelClosed as ChannelClosed
from phoenix_channels.client.errors import ClientError as ClientError
from phoenix_channels.client.errors import ConnectFailed as ConnectFailed
from phoenix_channels.client.errors import JoinRefused as JoinRefused
from phoenix_channels.client.errors import JoinTimeout as JoinTimeout
from phoenix_channels.client.errors import PushLost as PushLost
from phoenix_channels.client.errors import PushRefused as PushRefused
from phoenix_channels.client.errors import PushTimeout as PushTimeout
from phoenix_channels.client.errors import UnexpectedPayload as UnexpectedPayload
from phoenix_channels.client.events import Closed as Closed
from phoenix_channels.client.events import Errored as Errored
from phoenix_channels.client.events import Joined as Joined
from phoenix_channels.client.events import JoinFailed as JoinFailed
from phoenix_channels.client.events import Left as Left
from phoenix_channels.client.events import SocketEvent as SocketEvent
from phoenix_channels.client.message import Message as Message
from phoenix_channels.client.presence import Presence as Presence
from phoenix_channels.client.socket import Socket as Socket
from phoenix_channels.client.socket import connect as connect
from phoenix_channels.protocol.client import ladder as ladder
from phoenix_channels.protocol.client_events import Ladder as Ladder
from phoenix_channels.protocol.client_events import Opened as Opened
from phoenix_channels.protocol.client_states import ChannelState as ChannelState
from phoenix_channels.protocol.client_states import ConnectionState as ConnectionState
from phoenix_channels.protocol.errors import EncodeError as EncodeError
from phoenix_channels.protocol.presence_sync import PresenceEntry as PresenceEntry
from phoenix_channels.protocol.presence_sync import PresenceJoined as PresenceJoined
from phoenix_channels.protocol.presence_sync import PresenceLeft as PresenceLeft
from phoenix_channels.protocol.presence_sync import Presences as Presences
