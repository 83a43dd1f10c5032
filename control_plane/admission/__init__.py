"""May this call proceed now? Five rooms, and what they share.

::

    identity/  credentials ─► Principal          accounts/ tiers, tenants, keys
    limits/    Principal ─► Permit ─► settle     usage/    what was used, and what it costs
    abuse/     what clients do over minutes      service.py opens it all
"""
