"""The server side of Phoenix Channels: what the stock phoenix.js client connects to."""

from phoenix_channels.channel import Channel as Channel
from phoenix_channels.channel import ChannelRoute as ChannelRoute
from phoenix_channels.channel import ReplyRef as ReplyRef
from phoenix_channels.channel import Timer as Timer
from phoenix_channels.channel import channel as channel
from phoenix_channels.endpoint import Endpoint as Endpoint
from phoenix_channels.endpoint import Health as Health
from phoenix_channels.endpoint import Statistics as Statistics
from phoenix_channels.handlers import DefinitionError as DefinitionError
from phoenix_channels.handlers import incoming as incoming
from phoenix_channels.handlers import intercept as intercept
from phoenix_channels.protocol.errors import EncodeError as EncodeError
from phoenix_channels.protocol.messages import Broadcast as Broadcast
from phoenix_channels.pubsub.base import BroadcastQueueFull as BroadcastQueueFull
from phoenix_channels.results import ConnectRefused as ConnectRefused
from phoenix_channels.results import JoinRefused as JoinRefused
from phoenix_channels.results import Reply as Reply
from phoenix_channels.results import Stop as Stop
from phoenix_channels.runtime.limits import Limits as Limits
from phoenix_channels.runtime.limits import MailboxFull as MailboxFull
from phoenix_channels.runtime.subscriber import Subscriber as Subscriber
from phoenix_channels.socket import ConnectInfo as ConnectInfo
from phoenix_channels.socket import Socket as Socket
