"""Tells receivers of ends: a durable outbox, signed deliveries, a schedule of attempts.

``outbox`` makes deliveries of ends, ``deliveries`` keeps them and its scripts move them;
``dispatcher`` runs what is due, ``sender`` makes one attempt, ``schedule`` says what follows from
it; ``endpoints`` are the records of receivers and of what signs.
"""
