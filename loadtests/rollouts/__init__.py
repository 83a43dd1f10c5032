"""Measures rollouts as clients see them: roll-backs, a change of versions under load, shadows."""
