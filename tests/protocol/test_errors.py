import pytest

from phoenix_channels.protocol.errors import EncodeError, LocalProtocolError, ProtocolError, RemoteProtocolError


def test_one_base_and_two_sides() -> None:
    assert issubclass(LocalProtocolError, ProtocolError)
    assert issubclass(RemoteProtocolError, ProtocolError)
    assert not issubclass(LocalProtocolError, RemoteProtocolError)
    assert not issubclass(RemoteProtocolError, LocalProtocolError)


def test_a_payload_without_wire_form_is_the_callers_fault_p033() -> None:
    assert issubclass(EncodeError, LocalProtocolError)


def test_the_peers_fault_says_how_to_close_p046() -> None:
    error = RemoteProtocolError("undecodable", close_code=1011)
    assert (error.reason, error.close_code, str(error)) == ("undecodable", 1011, "undecodable")


def test_the_close_code_has_to_be_given() -> None:
    with pytest.raises(TypeError, match="close_code"):
        RemoteProtocolError("undecodable")  # type: ignore[call-arg]
