"""Requests that a client repeats are carried out once: ``Idempotency-Key``."""
