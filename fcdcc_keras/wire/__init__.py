"""What goes between client and workers: Dask's tasks, connections, shared memory."""
