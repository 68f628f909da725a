"""Several runs of one command: which they are, and how they are run here or on a cluster."""
