"""Starts what `tidegate up`, `serve` and `triton` run, and keeps it running.

Start reading at ``stack.py``, which says what is started in which order; ``supervisor.py`` keeps
it alive, ``datadir.py`` owns the folder in which all of it lives.
"""
