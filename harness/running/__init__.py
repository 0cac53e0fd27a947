"""Carrying out runs: planning, claims, executing in processes or on a GPU, the environment."""
