"""Tidegate: the production API in front of NVIDIA Triton.

Each folder is a room with one concern; ``docs/architecture.md`` shows who may import whom.
"""

__version__ = "0.1.0"
