"""Carrying out runs: planning, executing in processes or on a GPU, the environment."""
