"""API keys: their form, their checksum, what opens a record and when."""

from __future__ import annotations

import math
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.admission.accounts.shapes import ApiKey
from control_plane.admission.identity import apikeys

PEPPER = "p" * 32
KEY, KEY_ID = apikeys.mint()
DIGEST = apikeys.digest(KEY, PEPPER)
BASE62 = string.digits + string.ascii_letters


def record(**changes: object) -> ApiKey:
    return ApiKey(**{"id": KEY_ID, "tenant": "acme", "digests": (DIGEST,)} | changes)  # type: ignore[arg-type]


def test_a_minted_key_is_of_the_settings_form_and_read_again() -> None:
    for _ in range(200):
        text, key_id = apikeys.mint()
        assert re.fullmatch(r"tg_live_[a-z2-7]{12}_[A-Za-z0-9]{33,64}", text)
        parsed = apikeys.parse(text)
        assert parsed is not None
        assert parsed == apikeys.ParsedKey(key_id, text)


def test_a_secret_has_at_least_128_bits() -> None:
    assert apikeys.SECRET_LENGTH * math.log2(62) >= 128


def test_minted_keys_differ() -> None:
    assert len({apikeys.mint() for _ in range(1000)}) == 1000


@given(st.integers(0, len(KEY) - 1), st.sampled_from(BASE62 + "_-. é"))
def test_one_wrong_character_is_noticed(place: int, character: str) -> None:
    mistyped = KEY[:place] + character + KEY[place + 1 :]
    assert (apikeys.parse(mistyped) is None) == (mistyped != KEY)


@given(st.integers(0, len(KEY) - 2))
def test_two_swapped_characters_are_noticed(place: int) -> None:
    swapped = KEY[:place] + KEY[place + 1] + KEY[place] + KEY[place + 2 :]
    assert (apikeys.parse(swapped) is None) == (swapped != KEY)


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    assert apikeys.parse(text) is None
    assert apikeys.parse(f"tg_live_{KEY_ID}_{text}") is None


def test_a_shown_parsed_key_hides_the_key() -> None:
    parsed = apikeys.parse(KEY)
    assert KEY[21:] not in f"{parsed} {parsed!r}"
    assert KEY_ID in repr(parsed)


def test_the_digest_depends_on_key_and_pepper() -> None:
    other, _ = apikeys.mint()
    assert len({DIGEST, apikeys.digest(other, PEPPER), apikeys.digest(KEY, "q" * 32)}) == 3
    assert re.fullmatch("[0-9a-f]{64}", DIGEST)


def test_the_right_digest_opens() -> None:
    assert apikeys.opens(record(), DIGEST, 1e9)
    assert apikeys.closes_at(record(), DIGEST) == math.inf


@pytest.mark.parametrize("digests", [(), ("0" * 64,), (DIGEST[:-1],), (DIGEST.upper(),)])
def test_another_digest_does_not_open(digests: tuple[str, ...]) -> None:
    assert not apikeys.opens(record(digests=digests), DIGEST, 0.0)


def test_the_earlier_digest_opens_while_a_rotation_overlaps() -> None:
    rotated = record(digests=("0" * 64, DIGEST), digest_until=1000)
    assert apikeys.opens(rotated, DIGEST, 999.9)
    assert not apikeys.opens(rotated, DIGEST, 1000.0)
    assert apikeys.opens(rotated, "0" * 64, 1e9)


def test_an_expired_key_does_not_open() -> None:
    assert apikeys.opens(record(expires_at=1000), DIGEST, 999.9)
    assert not apikeys.opens(record(expires_at=1000), DIGEST, 1000.0)


def test_a_revoked_key_does_not_open() -> None:
    assert not apikeys.opens(record(revoked_at=1), DIGEST, 0.0)
