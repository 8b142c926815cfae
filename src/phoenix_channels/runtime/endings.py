"""How callbacks of the application are brought to their end: with time to finish, and not for ever."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import anyio

from phoenix_channels.runtime.mailbox import Mailbox

if TYPE_CHECKING:
    from phoenix_channels.runtime.hub import Hub

_logger = logging.getLogger("phoenix_channels")


async def quiet(mailbox: Mailbox, seconds: float, hub: Hub, name: str) -> None:
    """Let what runs finish, for so many seconds; then cancel it, and leave it behind if it resists that."""
    if mailbox.cancelled:
        # It has resisted before, and is left behind already.
        return
    with anyio.move_on_after(seconds):
        await mailbox.wait_idle()
    if mailbox.idle:
        return
    hub.cut += 1
    _logger.error("%s: a callback is cut off after %s s", name, seconds)
    mailbox.cancel()
    with anyio.move_on_after(seconds):
        await mailbox.wait_idle()
        return
    _logger.error("%s: it resists its cancellation and is left behind", name)
