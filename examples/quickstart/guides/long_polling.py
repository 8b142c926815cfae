"""Long polling beside the WebSocket, and alone."""

import os

from examples.quickstart.server import UserSocket
from phoenix_channels import Endpoint, LongPollOptions

# Start: mount
app = Endpoint(secret_key_base=os.environ.get("SECRET_KEY_BASE"))
app.socket("/socket", UserSocket, longpoll=True)
# End: mount

# Start: options
app.socket("/polled", UserSocket, websocket=False, longpoll=LongPollOptions(window=5.0))
# End: options
