"""Tokens with arguments that they do not take."""

from datetime import UTC, datetime, timedelta

from phoenix_channels import Endpoint
from phoenix_channels.token import Atom, encrypt, sign, verify

endpoint = Endpoint(secret_key_base="x" * 64)

sign(b"x" * 64, "link", 1)  # error
sign(None, "link", 1)  # error
sign(object(), "link", 1)  # error
sign(endpoint, b"link", 1)  # error
sign(endpoint, "link", 1, 60)  # error
sign(endpoint, "link", 1, max_age=timedelta(minutes=1))  # error
sign(endpoint, "link", 1, signed_at=datetime(2026, 1, 1, tzinfo=UTC))  # error
sign(endpoint, "link", 1, key_digest="md5")  # error
encrypt(endpoint, "link", 1, key_length=16)  # error
verify(endpoint, "link", "token", max_age="60")  # error
verify(endpoint, "link")  # error
Atom(1)  # error
endpoint.secret_key_base = "x"  # error
