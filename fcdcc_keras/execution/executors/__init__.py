"""Who computes subtasks: the workers of a Dask cluster, or some in this process."""
