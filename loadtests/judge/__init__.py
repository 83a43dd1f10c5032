"""Simulates rollouts and asks the judge about them: how often it is wrong, how soon it is right.

``population`` makes subjects and their requests, ``runs`` takes them through a plan,
``single_look`` is the judge that one should not have, ``curves`` repeats runs, ``plot`` and
``report`` write ``docs/benchmarks/judge.md`` and its picture.
"""
