"""How fast and how much: the accounts, and what a process may do of itself."""
