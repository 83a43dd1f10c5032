"""Routing: which version answers.

``catalog`` holds the models and versions that exist; ``selection`` reads what a client asked for
and finds the version.
"""
