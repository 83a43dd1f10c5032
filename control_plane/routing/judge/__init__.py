"""The judge of a rollout: from counts of two sides to promote, hold or roll back.

In the order of the work: ``fields`` (the counts and their names), ``tally`` (a process counts),
``evidence`` (the counts of all processes, read), ``sequential`` (tests that may be looked at at
any time), ``findings`` (a test for each guard), ``verdict``. Nothing here does I/O.
``docs/judge.md`` explains the method.
"""
