"""Feedback: the truth about an earlier prediction, as far as that is still known.

In the order of the work: ``kept`` (what is known of a prediction), ``sampler`` (which are kept),
``service`` with ``label.lua`` (truth is attached and counted), ``accuracy`` (what that says of a
version). ``docs/feedback.md`` explains it.
"""
