"""A scriptable Phoenix server for tests of clients.

::

    async with MockPhoenix() as mock:
        mock.on_join("room:*").refuse({"reason": "full"}).times(1)
        ...  # the client joins over mock.url, is refused, and tries again
        await mock.wait_for("join", topic="room:lobby")
        await mock.push("room:lobby", "new_message", {"body": "hi"})

It is an endpoint of this library behind a real socket, on asyncio or trio, and without rules it says yes to everything:
every connection and join is let in, every push is answered with ``ok`` and its own payload.  Rules change that.
"""

from phoenix_channels.testing.mock.log import Received as Received
from phoenix_channels.testing.mock.phoenix import MockPhoenix as MockPhoenix
from phoenix_channels.testing.mock.rules import ConnectRule as ConnectRule
from phoenix_channels.testing.mock.rules import HeartbeatRule as HeartbeatRule
from phoenix_channels.testing.mock.rules import JoinRule as JoinRule
from phoenix_channels.testing.mock.rules import PushRule as PushRule
from phoenix_channels.testing.mock.script import ScriptError as ScriptError
