"""Routing: which version answers, and how that changes.

``state`` is what the system of record keeps of a model, ``decisions`` how it may change, ``store``
changes it, ``follower`` hears of changes. From the states ``catalog`` makes what a process knows,
and ``selection`` finds the version that a client asked for. ``experiment`` seats subjects in a
running rollout, by ``split``; ``trials`` counts what the sides do, and ``judge`` decides on it.
``shadow`` shows requests to a candidate on the side, ``feedback`` takes in the truth.
"""
