"""Answers that come later, work beside the callbacks, and calls that block."""

import hashlib
from queue import SimpleQueue
from typing import Any

import anyio
from anyio import to_thread

from phoenix_channels import Channel, Endpoint, Reply, ReplyRef, Socket, Timer, incoming


# Start: later
class ReportChannel(Channel):
    @incoming
    def report(self, payload: int) -> None:
        self.start_soon(self.write_report, self.reply_later(), payload)

    async def write_report(self, ref: ReplyRef, pages: int) -> None:
        for page in range(1, pages + 1):
            await anyio.sleep(0.01)  # stands for the work on one page
            self.push("progress", {"page": page})
        ref.reply(Reply.ok({"pages": pages}))

    # End: later

    # Start: thread
    @incoming
    async def digest(self, payload: str) -> Reply:
        return Reply.ok(await to_thread.run_sync(digest, payload))

    # End: thread

    # Start: jobs
    @incoming
    def enqueue(self, payload: str) -> None:
        JOBS.put((self.reply_later(), payload))

    # End: jobs


# Start: timeout
class QuizChannel(Channel):
    """One question; without an answer in time it is over."""

    seconds = 10.0
    timer: Timer | None = None

    async def after_join(self) -> None:
        self.push("question", {"text": "Which topic does a heartbeat have?"})
        self.timer = self.send_after(self.seconds, "too late")

    @incoming
    def answer(self, payload: str) -> Reply:
        if self.timer is not None:
            self.timer.cancel()
        return Reply.ok({"right": payload == "phoenix"})

    def handle_info(self, message: Any) -> None:
        self.push("over", {"reason": message})

    # End: timeout

    # Start: terminate
    async def terminate(self, reason: Any) -> None:
        await save(self.topic, reason)

    # End: terminate


def digest(text: str) -> str:
    return hashlib.pbkdf2_hmac("sha256", text.encode(), b"salt", 100_000).hex()


# Start: worker
JOBS: SimpleQueue[tuple[ReplyRef, str]] = SimpleQueue()


def work() -> None:
    """In a thread of its own, one job after the other."""
    while True:
        ref, text = JOBS.get()
        ref.reply(Reply.ok({"shouted": text.upper()}))


# End: worker

SAVED: list[tuple[str, Any]] = []


async def save(topic: str, reason: Any) -> None:
    SAVED.append((topic, reason))


class UserSocket(Socket):
    channels = {"report": ReportChannel, "quiz:*": QuizChannel}


endpoint = Endpoint()
endpoint.socket("/socket", UserSocket)
