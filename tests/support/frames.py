"""The frames that a server sends, as the protocol's table has them (P-032)."""

from typing import Any

Frame = list[Any]

CRASHED = {"reason": "channel_crash"}
UNMATCHED = {"reason": "unmatched topic"}
JOIN_CRASHED = {"reason": "join crashed"}


def reply(join_ref: object, ref: object, topic: str, response: object = None, *, status: str = "ok") -> Frame:
    return [join_ref, ref, topic, "phx_reply", {"status": status, "response": {} if response is None else response}]


def error(join_ref: object, ref: object, topic: str, response: object = None) -> Frame:
    return reply(join_ref, ref, topic, response, status="error")


def join_crashed(ref: object, topic: str) -> Frame:
    return error(ref, ref, topic, JOIN_CRASHED)


def unmatched(ref: object, topic: str) -> Frame:
    return error(None, ref, topic, UNMATCHED)


def push(join_ref: object, topic: str, event: str, payload: object = None) -> Frame:
    return [join_ref, None, topic, event, {} if payload is None else payload]


def broadcast(topic: str, event: str, payload: object = None) -> Frame:
    return [None, None, topic, event, {} if payload is None else payload]


def closed(join_ref: object, topic: str) -> Frame:
    return [join_ref, join_ref, topic, "phx_close", {}]


def crashed(join_ref: object, topic: str) -> Frame:
    return [join_ref, join_ref, topic, "phx_error", CRASHED]


def binary_push(join_ref: str, ref: str, topic: str, event: str, data: bytes) -> bytes:
    """The binary frame that a client sends (P-035)."""
    fields = [field.encode() for field in (join_ref, ref, topic, event)]
    return bytes([0, *map(len, fields)]) + b"".join(fields) + data
