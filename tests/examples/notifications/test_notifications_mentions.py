"""Which parts of a text are mentions."""

import pytest

from examples.notifications.mentions import mentions


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("nobody at all", []),
        ("@ada look at this", ["ada"]),
        ("@ada @grace look at this", ["ada", "grace"]),
        ("@grace before @ada", ["grace", "ada"]),
        ("@ada, and once more @ada", ["ada"]),
        ("@Ada and @ADA are @ada", ["ada"]),
        ("(@ada), \"@grace\", '@linus': @margaret!", ["ada", "grace", "linus", "margaret"]),
        ("Seen by @ada. And by .@grace?", ["ada", "grace"]),
        ("@ada's idea, @ada/@grace/@linus", ["ada", "grace", "linus"]),
        ("@ada\n@grace\t@linus", ["ada", "grace", "linus"]),
        ("write to ada@example.com", []),
        ("write to first.last+tag@ada.example", []),
        ("to tag+@ada.example, 100%@ada, x-@ada", []),
        ("@ada@example.social lives elsewhere, and @@ada is nothing", []),
        ("@ada-lovelace@example.social, too", []),
        ("@ada-lovelace and @ada- and @-ada", ["ada-lovelace", "ada"]),
        ("@adaä is not @ada_, @ada2 neither", ["adaä", "ada_", "ada2"]),
        ("an @ alone, @, @!", []),
    ],
)
def test_mentions(text: str, names: list[str]) -> None:
    assert mentions(text) == names
