"""Who a text mentions."""

import re

# A name is the word after an "@", hyphens inside it included. A word character (or one of "+%-") in front of the "@"
# makes it an e-mail address, an "@" behind the name an address on another server (@ada@example.org): neither is a
# mention. The possessive "++" takes the whole name or nothing: no mention of the first letters of such an address.
MENTION = re.compile(r"(?<![\w@+%-])@(\w++(?:-\w++)*+)(?!@)")


def mentions(text: str) -> list[str]:
    """Return the mentioned names in order of appearance, each once, in lower case."""
    return list(dict.fromkeys(name.lower() for name in MENTION.findall(text)))
