"""Tests of channels that read like sentences: clients of an endpoint without a server, and what they assert.

::

    async with connect(endpoint, {"token": token}) as socket:
        channel = await socket.join("notifications:21", {"since": 7})
        await channel.push("mark_read", {"id": 3}).assert_reply("ok", {"unread": int})
        await channel.assert_push("changed", {"id": 3, "read": True})
"""

from phoenix_channels.client.errors import JoinRefused as JoinRefused
from phoenix_channels.testing.case import ChannelCase as ChannelCase
from phoenix_channels.testing.channels import JoinedChannel as JoinedChannel
from phoenix_channels.testing.channels import Pushed as Pushed
from phoenix_channels.testing.clock import FakeClockLoop as FakeClockLoop
from phoenix_channels.testing.clock import fake_clock as fake_clock
from phoenix_channels.testing.crashes import ChannelCrashed as ChannelCrashed
from phoenix_channels.testing.crashes import Crash as Crash
from phoenix_channels.testing.crashes import ExpectedCrash as ExpectedCrash
from phoenix_channels.testing.handshakes import ConnectOptions as ConnectOptions
from phoenix_channels.testing.handshakes import Refused as Refused
from phoenix_channels.testing.matching import Pattern as Pattern
from phoenix_channels.testing.observers import Observer as Observer
from phoenix_channels.testing.observers import subscribe as subscribe
from phoenix_channels.testing.opening import Opening as Opening
from phoenix_channels.testing.sockets import ConnectedSocket as ConnectedSocket
from phoenix_channels.testing.sockets import connect as connect
from phoenix_channels.testing.sockets import make_socket as make_socket
