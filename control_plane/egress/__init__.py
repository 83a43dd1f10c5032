"""Calls to addresses that clients name: only public ones, pinned, bounded."""
