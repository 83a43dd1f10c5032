"""The public HTTP door: no decisions, only HTTP.

``front`` is what the server calls: it mints the request id, takes predictions straight to
``predict`` and hands everything else to Litestar (``catalog``, ``health``, ``reference``).
``render`` turns answers into bytes, ``openapi`` describes it all.
"""
