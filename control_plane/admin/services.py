"""What the operators' door works with."""

from __future__ import annotations

from msgspec import Struct

from control_plane.admission.abuse.blocks import Blocks
from control_plane.admission.accounts.store import Store
from control_plane.admission.identity.identity import Identity
from control_plane.admission.usage.customers import Customers
from control_plane.admission.usage.export import UsageExport
from control_plane.admission.usage.reading import Usage
from control_plane.jobs.operators import OperatorJobs
from control_plane.records.audit import AuditLog
from control_plane.routing.feedback.accuracy import Accuracies
from control_plane.routing.store import ModelStore
from control_plane.versions.insight import Insights
from control_plane.versions.keeper import VersionKeeper


class AdminServices(Struct, frozen=True):
    """The services of the admin process.

    Attributes:
        store: Tiers, tenants and keys.
        audit: What was changed.
        blocks: Who is blocked.
        customers: Tenants with what they are charged, deleted ones too.
        usage: What tenants used.
        exports: The same with what it costs.
        identity: Finds out who calls.
        key_pepper: Secret of the keyed hashes of API keys.
        models: Models, and rollouts that have ended.
        versions: The same with contracts and Tritons.
        insights: What was counted of rollouts.
        accuracies: How right versions were.
        jobs: Jobs of any tenant.
    """

    store: Store
    audit: AuditLog
    blocks: Blocks
    customers: Customers
    usage: Usage
    exports: UsageExport
    identity: Identity
    key_pepper: str
    models: ModelStore
    versions: VersionKeeper
    insights: Insights
    accuracies: Accuracies
    jobs: OperatorJobs

    def __repr__(self) -> str:
        return "AdminServices(…)"
