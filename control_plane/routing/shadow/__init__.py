"""Shadows: a version sees requests beside the one that answers, and nobody waits for it.

In the order of the work: ``jobs`` (what a shadow is given), ``runner`` (when it gets its turn),
``comparing`` (what both said), ``counts`` and ``differences`` (what is kept of it, redacted by
``redaction``), ``report`` and ``reading`` (what operators see). ``docs/shadow.md`` explains it.
"""
