"""A cluster of Slurm jobs, which are submitted again when they reach their walltime."""
