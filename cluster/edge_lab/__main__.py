"""Runs the command line: ``python -m cluster.edge_lab``."""

from cluster.edge_lab.cli import main

if __name__ == "__main__":
    main(prog_name="python -m cluster.edge_lab")
