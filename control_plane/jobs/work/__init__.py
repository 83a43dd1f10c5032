"""Working on jobs: claiming, doing, ending, and what keeps all of them moving."""
