import msgspec
import pytest

from control_plane.uploads.links import Link, LinkSigner

LINK = Link("upl_" + "0" * 32, "acme", 11, "audio/wav", 1_800_000_000)


def signature(link: Link, data_key: str = "A" * 43) -> str:
    return LinkSigner(data_key).url(link).rpartition("signature=")[2]


def test_what_was_signed_fits() -> None:
    assert LinkSigner("A" * 43).fits(LINK, signature(LINK))
    assert LinkSigner("A" * 43 + "=").fits(LINK, signature(LINK))


@pytest.mark.parametrize(
    "changed",
    [
        {"upload_id": "upl_" + "1" * 32},
        {"tenant": "acmf"},
        {"size": 12},
        {"media_type": "audio/flac"},
        {"expires": 1_800_000_001},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_signature_is_good_for_nothing_else(changed: dict[str, object]) -> None:
    other = msgspec.structs.replace(LINK, **changed)
    assert not LinkSigner("A" * 43).fits(other, signature(LINK))


def test_another_data_key_signs_otherwise() -> None:
    assert signature(LINK) != signature(LINK, "B" * 43)
