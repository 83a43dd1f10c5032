"""Composition root of the process that works on jobs."""
