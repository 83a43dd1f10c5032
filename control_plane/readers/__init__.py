"""From an object to the inputs that a model takes, a part at a time."""
