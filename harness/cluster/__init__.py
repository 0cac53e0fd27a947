"""Runs on a cluster: jobs that share a plan, submitted to SLURM, watched, and taken up again."""
