"""Runs the command line: ``python -m cluster.ssh``."""

from cluster.ssh.cli import main

if __name__ == "__main__":
    main(prog_name="python -m cluster.ssh")
