"""Opens what a worker works with, and closes it."""
