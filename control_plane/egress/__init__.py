"""Calls to addresses that clients name: only public ones, pinned, bounded.

``address`` reads what was named, ``networks`` says what may be called, ``resolver`` finds the
addresses of names, ``calls`` makes the call.
"""
