"""Who calls: credentials, and the records that say what they open."""
