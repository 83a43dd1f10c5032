"""May this call proceed now? Identity, rate, permits, penalties, quota and usage.

::

    identity.py ─► Principal ─► gate.py ─► limits.lua ─► Permit ─► (the call) ─► settle
"""
