"""What the system of record keeps of those who call, and how it is changed."""
