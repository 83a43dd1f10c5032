"""The operators' door, on a port of its own."""
