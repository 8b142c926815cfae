"""Tokens as ``Phoenix.Token`` makes them, and as it takes them: whoever has the secret, in Elixir or in Python.

For example::

    token = sign(endpoint, "user socket", user_id)
    user_id = verify(endpoint, "user socket", token)
"""

# The modules in here are pure.  This one knows what time it is, makes nonces, and finds the secret.

from __future__ import annotations

import math
import secrets
import time
from typing import Any, Literal, Protocol, TypeAlias

from phoenix_channels.token import signing
from phoenix_channels.token.errors import TokenError as TokenError
from phoenix_channels.token.errors import TokenExpired as TokenExpired
from phoenix_channels.token.errors import TokenInvalid as TokenInvalid
from phoenix_channels.token.errors import TokenMissing as TokenMissing
from phoenix_channels.token.payloads import MAX_AGE, decode_payload, encode_payload
from phoenix_channels.token.signing import KEY_DIGEST, KEY_ITERATIONS, KEY_LENGTH
from phoenix_channels.token.terms import Atom as Atom

KeyDigest: TypeAlias = Literal["sha256", "sha384", "sha512"]


class HasSecret(Protocol):
    """An endpoint, or whatever else has a ``secret_key_base``."""

    @property
    def secret_key_base(self) -> str | None: ...


class HasEndpoint(Protocol):
    """A socket, a channel, or whatever else has an ``endpoint``."""

    @property
    def endpoint(self) -> HasSecret: ...


Context: TypeAlias = str | HasSecret | HasEndpoint
"""Where the secret comes from (P-130): an endpoint, a socket or channel of one, or the secret itself."""


def sign(
    context: Context,
    salt: str,
    data: object,
    *,
    signed_at: float | None = None,
    max_age: float = MAX_AGE,
    key_iterations: int = KEY_ITERATIONS,
    key_length: int = KEY_LENGTH,
    key_digest: KeyDigest = KEY_DIGEST,
) -> str:
    """A token that everybody can read and nobody can forge (P-129).

    Args:
        context: where the secret comes from: an endpoint, a socket, a channel, or the secret itself, of 20 bytes at
            least.
        salt: what the token is for, such as ``"user socket"``: a token for one purpose is good for no other.
        data: None, bool, int, float, str, bytes, :class:`Atom`, and lists, tuples and dicts of these.
        signed_at: seconds since the epoch; by default it is signed now.
        max_age: seconds that the token is good for, unless :func:`verify` says otherwise; by default a day, and for
            ever with ``math.inf``.
        key_iterations: of the derivation of the key (1000), as the other two; all have to be those of :func:`verify`.
        key_length: in bytes (32).
        key_digest: ``"sha256"`` (the default), ``"sha384"`` or ``"sha512"``.

    Raises:
        TypeError: an argument has the wrong type, or something in the data has no term.
        ValueError: the secret is missing or too short, the token would be too long, or the data has no term.
    """
    key = _key(context, salt, key_iterations, key_length, key_digest)
    return signing.sign(key, _payload(data, signed_at, max_age))


def verify(
    context: Context,
    salt: str,
    token: object,
    *,
    max_age: float | None = None,
    key_iterations: int = KEY_ITERATIONS,
    key_length: int = KEY_LENGTH,
    key_digest: KeyDigest = KEY_DIGEST,
) -> Any:
    """The data of a token that was signed with this secret for this purpose, and is not too old (P-132).

    The token may be anything that a client has sent.  ``max_age``, in seconds, wins over what it was signed with;
    ``math.inf`` takes a token of any age.  The other arguments are those of :func:`sign`.

    Data comes back as Elixir would have it: ``bytes`` that are UTF-8 as a ``str``, what Elixir has signed as atoms as
    :class:`Atom`.

    Raises:
        TokenMissing: the token is None.
        TokenInvalid: it is not a token, or another secret's, or another purpose's.
        TokenExpired: it is too old.
        TypeError: another argument has the wrong type.
        ValueError: the secret is missing or too short, or an option has no legal value.
    """
    key = _key(context, salt, key_iterations, key_length, key_digest)
    _check_max_age(max_age)
    payload = signing.verify(key, _text(token))
    if payload is None:
        raise TokenInvalid("the token was not signed with this secret, salt and options")
    return decode_payload(payload, now=_now(), max_age=max_age)


def encrypt(
    context: Context,
    salt: str,
    data: object,
    *,
    signed_at: float | None = None,
    max_age: float = MAX_AGE,
    key_iterations: int = KEY_ITERATIONS,
    key_digest: KeyDigest = KEY_DIGEST,
) -> str:
    """As :func:`sign`, but a token that nobody else can read (P-133): XChaCha20-Poly1305, with a key of 32 bytes.

    It needs the extra ``crypto``.

    Raises:
        ImportError: that extra is not installed.
        TypeError: as in :func:`sign`.
        ValueError: likewise.
    """
    from phoenix_channels.token import encryption  # noqa: PLC0415 - an extra

    key = _key(context, salt, key_iterations, 32, key_digest)
    nonce = secrets.token_bytes(encryption.NONCE_BYTES)
    return encryption.encrypt(key, _payload(data, signed_at, max_age), nonce)


def decrypt(
    context: Context,
    salt: str,
    token: object,
    *,
    max_age: float | None = None,
    key_iterations: int = KEY_ITERATIONS,
    key_digest: KeyDigest = KEY_DIGEST,
) -> Any:
    """As :func:`verify`, for a token of :func:`encrypt` or ``Phoenix.Token.encrypt``.

    Raises:
        TokenMissing: the token is None.
        TokenInvalid: it is not a token, or another secret's, or another purpose's; or one of the older cipher, which
            Phoenix made before Plug.Crypto 2.0.
        TokenExpired: it is too old.
        ImportError: the extra ``crypto`` is not installed.
        TypeError: as in :func:`verify`.
        ValueError: likewise.
    """
    from phoenix_channels.token import encryption  # noqa: PLC0415 - an extra

    key = _key(context, salt, key_iterations, 32, key_digest)
    _check_max_age(max_age)
    payload = encryption.decrypt(key, _text(token))
    if payload is None:
        raise TokenInvalid("the token was not encrypted with this secret, salt and options")
    return decode_payload(payload, now=_now(), max_age=max_age)


def _key(context: object, salt: str, iterations: int, length: int, digest: str) -> bytes:
    if not isinstance(salt, str):
        raise TypeError(f"the salt of a token is a string, not a {type(salt).__name__}")
    for name, number in (("key_iterations", iterations), ("key_length", length)):
        if type(number) is not int:
            raise TypeError(f"{name} is an int, not a {type(number).__name__}")
    return signing.derive_key(_secret(context), salt, iterations=iterations, length=length, digest=digest)


def _secret(context: object) -> str:
    if isinstance(context, str):
        return context
    endpoint: Any = context if hasattr(context, "secret_key_base") else getattr(context, "endpoint", None)
    if not hasattr(endpoint, "secret_key_base"):
        raise TypeError(
            "the context of a token is an Endpoint, a Socket, a Channel, or a secret string, not a "
            f"{type(context).__qualname__}"
        )
    secret: object = endpoint.secret_key_base
    if secret is None:
        raise ValueError(
            "this endpoint has no secret to sign with: Endpoint(secret_key_base=...), at least "
            f"{signing.MIN_SECRET_BYTES} bytes, or the secret itself instead of the endpoint"
        )
    if not isinstance(secret, str):
        raise TypeError(f"secret_key_base is a string, not a {type(secret).__name__}")
    return secret


def _payload(data: object, signed_at: float | None, max_age: float) -> bytes:
    _check_seconds("max_age", max_age)
    return encode_payload(data, signed_at=_now() if signed_at is None else _milliseconds(signed_at), max_age=max_age)


def _milliseconds(signed_at: float) -> int:
    _check_seconds("signed_at", signed_at)
    if signed_at * 1000 == math.inf:
        raise ValueError(f"signed_at is a number of seconds since the epoch, not {signed_at!r}")
    return int(signed_at * 1000)


def _check_max_age(max_age: float | None) -> None:
    if max_age is not None:
        _check_seconds("max_age", max_age)


def _check_seconds(name: str, seconds: object) -> None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"{name} is a number of seconds, not a {type(seconds).__name__}")
    if not seconds > -math.inf:
        raise ValueError(f"{name} is a number of seconds, not {seconds!r}")


def _text(token: object) -> str:
    """A token as text; that of no token is empty, which is none either.

    Raises:
        TokenMissing: there is none.
    """
    if token is None:
        raise TokenMissing("there is no token")
    return token if isinstance(token, str) else ""


def _now() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
