"""Tells receivers of ends: a durable outbox, signed deliveries, a schedule of attempts."""
