"""Names of routing's keys in the two servers: what lies where.

The system of record (see ``records/places.py``)::

    tg:{records}:model:<name>        JSON of a ModelState      tg:{records}:models   index
    tg:{records}:rollout:<id>        JSON of an EndedRollout   tg:{records}:rollouts:<model>   index
    tg:{records}:repository          JSON of a Record whose revision grows with each refresh

What is pushed: ``model:<name>``, ``repository:models``.

Counters and caches, a hash tag a rollout; all expire (:data:`KEPT_S` after the latest write)::

    tg:{ro:<id>}:<stage>:counts:<arm>      hash: what an arm did in a stage, see judge/fields.py
    tg:{ro:<id>}:<stage>:failed:<arm>      set of digests of subjects that failed there
    tg:{ro:<id>}:verdict                   JSON of the latest verdict
    tg:{ro:<id>}:shadow:<version>          hash: what shadow and answer had in common
    tg:{ro:<id>}:differences:<version>     sorted set of the worst disagreements
    tg:{t:<tenant>}:predicted:<request id> what was predicted, for feedback
    tg:{t:<tenant>}:labels:<YYYYMMDD>      labels that a tenant gave on a day
    tg:{t:<tenant>}:judged:<id>:<stage>    labels of a tenant that count in a stage of a rollout
    tg:{feedback:<model>}:<version>        hash: labelled predictions and the sum of their scores
    tg:rollouts:judge                      who judges now

An arm is the version of a candidate, or ``control``. A stage is ``<attempt>.<step>``: what was
seen before a step, or before an undone roll-back, counts no more.
"""

from __future__ import annotations

from typing import Final

from control_plane.records.places import PREFIX

KEPT_S: Final = 2_592_000
"""Seconds that counts and differences are kept after the latest write."""

MODELS: Final = PREFIX + "models"
REPOSITORY: Final = PREFIX + "repository"
REPOSITORY_NEWS: Final = "repository:models"
"""What is told when the repository is to be read again."""
JUDGE: Final = "tg:rollouts:judge"


def model_record(name: str) -> str:
    """Key of a model's state."""
    return f"{PREFIX}model:{name}"


def rollout_record(rollout: str) -> str:
    """Key of a rollout that has ended."""
    return f"{PREFIX}rollout:{rollout}"


def rollouts_of(model: str) -> str:
    """Key of the index of a model's rollouts that have ended."""
    return f"{PREFIX}rollouts:{model}"


def counts(rollout: str, stage: str, arm: str) -> str:
    """Key of what an arm of a rollout did in a stage."""
    return f"tg:{{ro:{rollout}}}:{stage}:counts:{arm}"


def failed(rollout: str, stage: str, arm: str) -> str:
    """Key of the subjects that failed on an arm."""
    return f"tg:{{ro:{rollout}}}:{stage}:failed:{arm}"


def verdict(rollout: str) -> str:
    """Key of the latest verdict."""
    return f"tg:{{ro:{rollout}}}:verdict"


def shadow(rollout: str, version: str) -> str:
    """Key of what a shadow and the answers had in common."""
    return f"tg:{{ro:{rollout}}}:shadow:{version}"


def differences(rollout: str, version: str) -> str:
    """Key of a shadow's worst disagreements."""
    return f"tg:{{ro:{rollout}}}:differences:{version}"


def predicted(tenant: str, request_id: str) -> str:
    """Key of what was predicted for a request."""
    return f"tg:{{t:{tenant}}}:predicted:{request_id}"


def labels(tenant: str, day: str) -> str:
    """Key of the number of labels that a tenant gave on a day (``YYYYMMDD``, UTC)."""
    return f"tg:{{t:{tenant}}}:labels:{day}"


def judged(tenant: str, rollout: str, stage: str) -> str:
    """Key of the number of labels of a tenant that count in a stage of a rollout."""
    return f"tg:{{t:{tenant}}}:judged:{rollout}:{stage}"


def feedback(model: str, version: str) -> str:
    """Key of the labelled predictions of a version."""
    return f"tg:{{feedback:{model}}}:{version}"
