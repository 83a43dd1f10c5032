"""Large files: signed addresses to put them at, where they lie, and reading them as inputs."""
