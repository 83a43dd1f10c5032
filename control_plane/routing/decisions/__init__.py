"""What becomes of a model's state: pure functions from it to the next one, or to a refusal.

Each takes the state as it was read and the facts that decide, and gives a ``Decided``; the store
writes it in one audited step. Asking for what is so already changes nothing. A refusal says what
stands in the way and what to do.

``lives`` holds versions and aliases, ``proposal`` what a rollout may be, ``rollouts`` the one that
runs, ``endings`` its ends, ``undoing`` takes an end back.
"""
