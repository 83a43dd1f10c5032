"""Work that takes minutes: durable jobs, their states, and those that work on them."""
