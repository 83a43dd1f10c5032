"""Keeping records: read, listed in pages, changed in atomic steps that are audited and told.

``transaction`` is one step as data, ``server`` takes it, ``write_record.lua`` makes it; ``audit``
reads what was changed, ``pushes`` hears of it. What the records are, the rooms above know.
"""
