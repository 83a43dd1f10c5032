"""Patterns fit whole strings, whoever reads them."""

from __future__ import annotations

from typing import Annotated, Any

import jsonschema_rs
import msgspec
import pytest
from msgspec import Meta

from control_plane.admin.schemas import KeyId
from control_plane.admission.abuse.steps import ClientId, Subject
from control_plane.admission.accounts.shapes import ApiKey, Currency, Name, Network, Scope
from control_plane.contracts.document import Name as ModelName
from control_plane.contracts.document import VersionText
from control_plane.issuers import OidcIssuer
from control_plane.patterns import exactly

EITHER = Annotated[str, Meta(pattern=exactly("a|bc"))]


def taken(value: Any, shape: Any) -> bool:
    """Whether msgspec takes a value; jsonschema has to agree by the shape's own schema."""
    try:
        msgspec.convert(value, shape)
    except msgspec.ValidationError:
        found = False
    else:
        found = True
    assert jsonschema_rs.is_valid(msgspec.json.schema(shape), value) == found
    return found


@pytest.mark.parametrize("text", ["a", "bc"])
def test_the_whole_of_an_alternative_fits(text: str) -> None:
    assert taken(text, EITHER)


@pytest.mark.parametrize("text", ["", "ac", "ab", "xa", "a\n", "\na", "bc\n", "a\nbc", "bc\n\n"])
def test_less_and_more_does_not(text: str) -> None:
    assert not taken(text, EITHER)


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        (Name, "acme"),
        (Currency, "EUR"),
        (Scope, "predict:wine-*"),
        (Network, "10.0.0.0/8"),
        (KeyId, "a" * 12),
        (Subject, "t:acme"),
        (Subject, "a:10.0.0.0/24"),
        (ClientId, "k:aaaaaaaaaaaa"),
        (ClientId, ""),
        (ModelName, "wine"),
        (VersionText, "v1.2.3"),
    ],
)
def test_no_name_ends_with_a_newline(shape: Any, text: str) -> None:
    assert taken(text, shape)
    assert not taken(text + "\n", shape)


@pytest.mark.parametrize("shape", [ApiKey, OidcIssuer])
def test_every_pattern_of_a_shape_ends_where_the_string_does(shape: type[msgspec.Struct]) -> None:
    patterns = [
        found
        for schema in msgspec.json.schema(shape)["$defs"][shape.__name__]["properties"].values()
        for found in (schema.get("pattern"), schema.get("items", {}).get("pattern"))
        if found is not None
    ]
    assert patterns
    assert all(found.endswith(r"(?!\n)$") for found in patterns)
