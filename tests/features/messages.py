"""What clients of both versions of the protocol say, and what they are told."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from typing import Any

from tests.support import frames
from tests.support.frames import Frame


class Messages:
    """One side of a conversation.

    Refs count from 1 and join_refs from 11, so that a server which takes one for the other is found out.  Messages of
    version 1 bear no join_ref; what is received is put into the form of version 2, with a null join_ref.
    """

    def __init__(self, version: int) -> None:
        self.version = version
        self._refs = map(str, count(1))
        self._next_join_refs = map(str, count(11))
        self._joins: dict[str, tuple[str | None, str]] = {}

    # What is sent

    def encode_join(self, topic: str, payload: object = None) -> tuple[str, str]:
        """A join, and its ref."""
        join_ref = next(self._next_join_refs) if self.version == 2 else None
        self._joins[topic] = (join_ref, "")
        message, ref = self.encode(topic, "phx_join", payload)
        self._joins[topic] = (join_ref, ref)
        assert isinstance(message, str)
        return message, ref

    def encode(self, topic: str, event: str, payload: object = None) -> tuple[str | bytes, str]:
        """A message on a topic, and its ref."""
        ref = next(self._refs)
        join_ref, _ = self._joins.get(topic, (None, ""))
        payload = {} if payload is None else payload
        if isinstance(payload, bytes):
            return frames.binary_push(str(join_ref), ref, topic, event, payload), ref
        if self.version == 2:
            return json.dumps([join_ref, ref, topic, event, payload]), ref
        return json.dumps({"topic": topic, "event": event, "payload": payload, "ref": ref}), ref

    # What is received

    def normalised(self, frame: Any) -> Any:
        """A frame in the form of version 2."""
        if isinstance(frame, bytes):
            return frame
        if self.version == 2:
            assert isinstance(frame, list)
            return frame
        assert frame.keys() == {"topic", "event", "payload", "ref"}
        return [None, frame["ref"], frame["topic"], frame["event"], frame["payload"]]

    def join_ref(self, topic: str) -> str | None:
        """The join_ref that frames of this topic bear."""
        return self._joins[topic][0]

    def closed(self, topic: str) -> Frame:
        """The ``phx_close`` of the last join of a topic."""
        return self._last_frame(frames.closed, topic)

    def crashed(self, topic: str) -> Frame:
        """The ``phx_error`` of the last join of a topic."""
        return self._last_frame(frames.crashed, topic)

    def _last_frame(self, frame: Callable[[object, str], Frame], topic: str) -> Frame:
        join_ref, ref = self._joins[topic]
        # P-044, Recommended: version 1 knows no join_ref, so that the join's ref stands for it.
        return frame(join_ref, topic) if self.version == 2 else [None, *frame(ref, topic)[1:]]
