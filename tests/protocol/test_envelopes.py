"""What the frames of both sides have in common; what it is used for is tested with the serializers and the client."""

import pytest

from phoenix_channels.protocol.envelopes import encode_text, pack, unpack
from phoenix_channels.protocol.errors import EncodeError


def test_fields_are_preceded_by_their_lengths() -> None:
    assert pack(7, b"data", first="a", second="", third="ö") == b"\7\1\0\2a\xc3\xb6data"


def test_a_field_is_at_most_255_bytes_p040() -> None:
    assert unpack(pack(0, b"", topic="x" * 255), 1) == ([b"x" * 255], b"")
    with pytest.raises(EncodeError, match="topic of a binary message is at most 255 bytes, this one has 256"):
        pack(0, b"", topic="x" * 256)


def test_what_was_packed_is_unpacked() -> None:
    assert unpack(pack(0, b"data", a="1", b="", c="333"), 3) == ([b"1", b"", b"333"], b"data")


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 5])
def test_what_is_shorter_than_its_header_says_is_refused_p041(cut: int) -> None:
    whole = pack(0, b"", a="1", b="22")
    assert unpack(whole, 2) == ([b"1", b"22"], b"")
    with pytest.raises(ValueError, match="shorter than its header says"):
        unpack(whole[:cut], 2)


def test_text_is_json_without_spaces() -> None:
    assert encode_text((None, "1", "ö", {"a": 1})) == '[null,"1","ö",{"a":1}]'.encode()


def test_lone_surrogates_have_no_utf8() -> None:
    with pytest.raises(EncodeError, match="without lone surrogates"):
        encode_text(["\ud800"])
