"""The door for other packages: loading them, hooks, observers, presets, the hash of code."""
