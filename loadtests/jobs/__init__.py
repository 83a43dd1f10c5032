"""Measures jobs: how many are taken in a second, how many are done, and how long a list takes."""
