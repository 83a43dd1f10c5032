"""Replays labelled traffic, normal and abusive, through the real counters and rules.

In the order of the work: ``material`` (inputs), ``traffic`` (requests), ``normal`` and ``abusive``
(who sends what), ``replay`` (in virtual time), ``score`` (precision and recall), ``report``.
``docs/abuse.md`` has the figures.
"""
