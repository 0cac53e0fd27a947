"""The fixed part: how things are measured. Knows no method and no board by name."""
