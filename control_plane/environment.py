"""Reads the settings from the environment, once, and refuses at the start what is out of range."""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from control_plane.setting_groups import (
    EgressSettings,
    JobSettings,
    UploadSettings,
    WebhookSettings,
)
from control_plane.settings import Settings

PREFIX: Final = "TIDEGATE_"
ADMIN_URL: Final = "TIDEGATE_ADMIN_URL"
ADMIN_KEY: Final = "TIDEGATE_ADMIN_KEY"
CLIENT_VARIABLES: Final = frozenset({ADMIN_URL, ADMIN_KEY})
"""What commands that call the operators' API read; no settings, and no fault beside them."""
_GROUPS: Final[Mapping[str, type[Struct]]] = {
    "jobs": JobSettings,
    "uploads": UploadSettings,
    "webhooks": WebhookSettings,
    "egress": EgressSettings,
}
_LISTS: Final = frozenset({"triton_urls", "trusted_proxies", "egress_networks", "uploads_buckets"})
_NETWORKS: Final = frozenset({"trusted_proxies", "egress_networks"})
_DOCUMENTS: Final = frozenset({"oidc_issuers", "abuse_rules"})


class InvalidSettings(Exception):
    """The environment does not make valid settings.

    Attributes:
        problems: One line for each, naming the variable.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load_settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings from ``TIDEGATE_*`` variables.

    Raises:
        InvalidSettings: Naming every variable that is unknown, missing or out of its range.
    """
    fields = _fields()
    values: dict[str, Any] = {}
    problems: list[str] = []
    for variable, text in sorted(environment.items()):
        if not variable.startswith(PREFIX) or variable in CLIENT_VARIABLES:
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name not in fields or variable != variable.upper():
            problems.append(_unknown(variable, fields))
        elif text.strip():
            value = _convert(variable, name, text.strip(), fields[name], problems)
            values[name] = value
    for name, field in fields.items():
        if field.required and name not in values:
            problems.append(f"{PREFIX}{name.upper()} is missing: {_sentence(field)}")
    if problems:
        raise InvalidSettings(problems)
    return _settings(values)


def _fields() -> dict[str, msgspec.structs.FieldInfo]:
    """Every setting by the name of its variable, in lower case and without the prefix."""
    fields = {}
    for field in msgspec.structs.fields(Settings):
        group = _GROUPS.get(field.name)
        if group is None:
            fields[field.name] = field
        else:
            inner = msgspec.structs.fields(group)
            fields.update({f"{field.name}_{own.name}": own for own in inner})
    return fields


def _settings(values: dict[str, Any]) -> Settings:
    own = {name: value for name, value in values.items() if name in Settings.__struct_fields__}
    for name, group in _GROUPS.items():
        inner = {field: values[f"{name}_{field}"] for field in group.__struct_fields__
                 if f"{name}_{field}" in values}  # fmt: skip
        own[name] = group(**inner)
    return Settings(**own)


def _unknown(variable: str, fields: Mapping[str, Any]) -> str:
    wanted = variable.removeprefix(PREFIX).lower()
    near = difflib.get_close_matches(wanted, list(fields), n=1)
    hint = f": did you mean {PREFIX}{near[0].upper()}?" if near else ""
    return f"{variable} is no setting{hint}"


def _convert(
    variable: str, name: str, text: str, field: msgspec.structs.FieldInfo, problems: list[str]
) -> Any:
    raw: Any = text
    if name in _LISTS:
        raw = [part.strip() for part in text.split(",") if part.strip()]
    try:
        if name in _DOCUMENTS:
            return msgspec.json.decode(text, type=field.type)
        for network in raw if name in _NETWORKS else ():
            ipaddress.ip_network(network, strict=False)
        return msgspec.convert(raw, field.type, strict=False)
    except ValueError as error:
        problems.append(f"{variable}: {error} ({_sentence(field)})")
        return None


def _sentence(field: msgspec.structs.FieldInfo) -> str:
    schema = msgspec.json.schema(field.type)
    return str(schema.get("description", ""))


def describe() -> list[dict[str, str]]:
    """Every setting with its variable, type, default and sentence, for the documentation."""
    rows = []
    for name, field in _fields().items():
        schema = msgspec.json.schema(field.type)
        default = "required" if field.required else msgspec.json.encode(field.default).decode()
        rows.append(
            {
                "variable": PREFIX + name.upper(),
                "default": "none" if field.default is None else default,
                "range": _range(schema),
                "meaning": schema.get("description", ""),
            }
        )
    return rows


def _range(schema: dict[str, Any]) -> str:
    options = schema.get("anyOf", [{"type": "object"}])
    kinds = schema.get("type") or " or ".join(option["type"] for option in options)
    low, high = schema.get("minimum"), schema.get("maximum")
    return f"{kinds}, {low} to {high}" if low is not None else str(kinds)
