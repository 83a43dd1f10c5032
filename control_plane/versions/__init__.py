"""Versions as a whole: their contracts, what the Tritons make of them, and their records, together.

The admin process alone knows all three. ``shelf`` reads the repository, ``target`` says what the
Tritons are to have, ``standing`` what they have, ``gate`` whether a version may be trusted,
``sunsets`` ends those whose time has come, and ``keeper`` holds it all together.
"""
