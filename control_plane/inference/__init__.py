"""Inference: from an encoded input to a row of the model's output.

``backend`` is what the rest knows of a model server; ``triton`` is the real one, ``memory`` is one
in memory, for faults that cannot be made for real. ``pool`` chooses among several servers by their
health, ``lane`` coalesces the requests of one model version into calls, ``lanes`` opens a lane when
contract and model agree: ``examination`` finds out whether they do, ``probation`` asks it until
they do. ``reconciler`` has every server load what is wanted (``target``) and unload the rest,
``keeper`` is its part for one server. ``model_config`` reads ``config.pbtxt``.
"""
