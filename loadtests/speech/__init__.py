"""How well and how fast the speech model finds pauses in synthetic speech."""
