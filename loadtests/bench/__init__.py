"""Measures Triton alone, a plain FastAPI gateway and Tidegate side by side.

``docs/benchmarks/README.md`` explains the method. In the order of the work: ``cases`` (what is
asked), ``stack`` (who is asked), ``load`` (how often), ``check`` (was it right), ``measure`` (the
rounds), ``results`` (medians), ``goals``, ``report`` and ``plot``.
"""
