"""What is sealed can be read with the same key at the same place, and by nobody else."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.sealing import Sealer, Unsealable

KEY = "A" * 43
OTHER = "B" * 42 + "A"


@given(st.binary(max_size=5000), st.text(max_size=50))
def test_what_was_sealed_is_read_again(text: bytes, place: str) -> None:
    assert Sealer(KEY).unseal(Sealer(KEY + "=").seal(text, place), place) == text


def test_the_text_is_not_in_it_and_the_same_text_never_looks_the_same() -> None:
    sealer = Sealer(KEY)
    sealed = [sealer.seal(b"the payload", "here") for _ in range(2)]
    assert sealed[0] != sealed[1]
    assert all(b"payload" not in urlsafe_b64decode(one + "==") for one in sealed)


def test_another_key_or_place_opens_nothing() -> None:
    sealed = Sealer(KEY).seal(b"the payload", "here")
    with pytest.raises(Unsealable):
        Sealer(OTHER).unseal(sealed, "here")
    with pytest.raises(Unsealable):
        Sealer(KEY).unseal(sealed, "there")


@given(st.integers(0, 38), st.integers(1, 255))
def test_no_byte_can_be_changed(position: int, change: int) -> None:
    sealed = Sealer(KEY).seal(b"the payload", "here")
    raw = bytearray(urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4)))
    raw[position] ^= change
    with pytest.raises(Unsealable):
        Sealer(KEY).unseal(urlsafe_b64encode(raw).rstrip(b"=").decode(), "here")


@given(st.text(max_size=100))
def test_what_was_never_sealed_is_refused(text: str) -> None:
    with pytest.raises(Unsealable):
        Sealer(KEY).unseal(text, "here")


@pytest.mark.parametrize("key", ["", "A" * 42, "A" * 44 + "AAA", "short"])
def test_a_key_of_another_length_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=r"32 bytes|base64|padd"):
        Sealer(key)
