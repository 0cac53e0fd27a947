"""How long a thread of OpenMP waits for work before it sleeps. Read when torch is loaded, so set it before."""

SHORT_SPIN = ("GOMP_SPINCOUNT", "1000")
"""Name and value of an environment variable. On a busy machine the default makes a training step many times slower; a
short spin costs an idle one a few per cent (`GOMP_SPINCOUNT=300000 python benchmarks/train_step.py --threads 2`)."""
