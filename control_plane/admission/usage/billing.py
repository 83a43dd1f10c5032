"""What usage costs: the month's quota at one price, what goes beyond it at another.

Money is whole millionths of the currency, so that sums are exact.
"""

from __future__ import annotations

from msgspec import Struct

from control_plane.admission.accounts.shapes import Tenant, Tier


class Terms(Struct, frozen=True):
    """What a tenant is charged.

    Attributes:
        tier: Name of its tier.
        revision: Of the tier: the version of the prices; None if the tier was deleted, and then
            nothing is known of the prices.
        included: Units of a month at ``unit_price``; None for all of them.
        unit_price: Millionths of the currency.
        overage_unit_price: Of each unit beyond, millionths of the currency.
        currency: ISO 4217; empty if the tier was deleted.
    """

    tier: str
    revision: int | None
    included: int | None
    unit_price: int
    overage_unit_price: int
    currency: str


class Charge(Struct, frozen=True):
    """What some units cost.

    Attributes:
        included_units: Within the month's quota.
        overage_units: Beyond it.
        amount_micros: Of the units within, millionths of the currency; None without prices.
        overage_amount_micros: Of the units beyond, millionths of the currency; None without prices.
    """

    included_units: int
    overage_units: int
    amount_micros: int | None
    overage_amount_micros: int | None


def terms_of(tenant: Tenant, tier: Tier | None) -> Terms:
    """What a tenant is charged by its tier and its overrides.

    There is overage only where it is billed: where it is blocked, the few units that were served
    beyond the quota while the accounts were away cost what all others do.

    Args:
        tenant: Who.
        tier: Its tier; None if it was deleted.
    """
    if tier is None:
        return Terms(tenant.tier, None, None, 0, 0, "")
    limits = tenant.overrides.over(tier.limits)
    return Terms(
        tier=tier.name,
        revision=tier.revision,
        included=limits.month_units if limits.overage == "bill" else None,
        unit_price=tier.unit_price,
        overage_unit_price=tier.overage_unit_price,
        currency=tier.currency,
    )


def charge(terms: Terms, units: int, spent: int) -> Charge:
    """What units cost.

    Args:
        terms: Of the tenant.
        units: To be charged.
        spent: Units of the same month before them.
    """
    included = units
    if terms.included is not None:
        included = min(units, max(0, terms.included - spent))
    overage = units - included
    if terms.revision is None:
        return Charge(included, overage, None, None)
    return Charge(
        included, overage, included * terms.unit_price, overage * terms.overage_unit_price
    )
