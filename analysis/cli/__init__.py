"""The commands below ``avbench analyse``."""
