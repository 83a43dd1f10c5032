"""What clients do over minutes: seen, judged, blocked."""
