"""A client that answers questions, to be tested against a mock.

Run it: ``python -m examples.quickstart.guides.answering_bot``, with a server at ``ws://localhost:8000/socket``.
"""

import os

import anyio

from phoenix_channels.client import PushTimeout, connect


# Start: bot
async def answer_questions(url: str, *, patience: float = 10.0) -> None:
    """Answer every question in the lobby; say it again if nobody confirms it."""
    async with connect(url, params={"token": "bot"}) as socket:
        lobby = await socket.join("room:lobby", {"as": "bot"})
        async for message in lobby:
            if message.event == "question":
                answer = {"to": message.payload["id"], "body": "42"}
                try:
                    await lobby.push("answer", answer, timeout=patience)
                except PushTimeout:
                    await lobby.push("answer", answer)


# End: bot


if __name__ == "__main__":
    anyio.run(answer_questions, f"ws://localhost:{os.environ.get('PORT', '8000')}/socket")
