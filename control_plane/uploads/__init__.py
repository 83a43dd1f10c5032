"""Large files: made known, written once under a signed address, read in parts."""
