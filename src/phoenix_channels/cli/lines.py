"""Words and payloads, as they are typed into a terminal and printed there."""

from __future__ import annotations

import json

import msgspec


def split_word(text: str, otherwise: str) -> tuple[str, str]:
    """The first word, which may stand in quotes as a string of JSON does, and what comes behind it.

    Raises:
        ValueError: there is none, which is said in these words; or its quotes do not end.
    """
    text = text.strip()
    if not text:
        raise ValueError(otherwise)
    if not text.startswith('"'):
        word, _, rest = text.partition(" ")
        return word, rest.strip()
    try:
        word, end = json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{text!r:.200} has quotes that do not end") from error
    return word, text[end:].strip()


def begins_as_json(text: str) -> bool:
    """Is it rather a payload than an event?"""
    return text[0] in '{["-0123456789' or text in ("true", "false", "null")


def parse_payload(text: str) -> msgspec.Raw:
    """JSON that somebody has typed; nothing stands for the empty object.

    Raises:
        ValueError: it is no JSON; the text is for who has typed it.
    """
    encoded = text.strip().encode() or b"{}"
    try:
        msgspec.json.decode(encoded)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"{text.strip()!r:.200} is no JSON: {error}") from error
    return msgspec.Raw(encoded)


def printable(word: str) -> str:
    """A topic, an event or a status: as it is where that is one word, and cannot be taken for orders to a terminal."""
    return word if word.isprintable() and word and not set(word) & {" ", '"', "'"} else as_json(word)


def as_json(payload: object) -> str:
    """A payload as JSON on one line, without characters that a terminal might obey; bytes become base64."""
    try:
        text = msgspec.json.encode(payload).decode()
    except RecursionError:
        return '"(nested too deeply to be shown)"'
    if text.isprintable():
        return text
    # They stand in strings only.
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)
