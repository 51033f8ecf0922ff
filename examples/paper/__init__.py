"""The experiments of FCDCC (arXiv:2411.01579), redone; see README.md beside."""
