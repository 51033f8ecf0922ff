"""Runs the command line: ``python -m cluster.slurm``."""

from cluster.slurm.cli import main

if __name__ == "__main__":
    main(prog_name="python -m cluster.slurm")
