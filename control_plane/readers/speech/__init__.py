"""Recorded speech: decoded as a stream, cut into windows, and put together to segments."""
