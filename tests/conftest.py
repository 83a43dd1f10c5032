"""Settings of every test: hypothesis draws the same examples each time and keeps no files.

It does not shrink what fails, which may take minutes: ``--hypothesis-profile=thorough`` does, and
draws more.
"""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "tidegate",
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile(
    "thorough",
    settings.get_profile("tidegate"),
    max_examples=1000,
    derandomize=False,
    phases=tuple(Phase),
)
settings.load_profile("tidegate")
