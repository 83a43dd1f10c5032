"""The contract gate: whether a version may take another's place without a client noticing.

``compare`` gives the changes between two contracts (``changes``), which of them break a client,
and the version number they call for. ``requests`` asks whether what was valid is valid now,
``answers`` whether what was read can be read now, ``conditions`` about price and deadline.
``containment`` decides whether one JSON Schema accepts all that another does, on ``terms``
(schemas with references followed) and ``facts`` (what several of them say together).
"""
