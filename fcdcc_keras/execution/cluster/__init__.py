"""A Dask cluster: ours or one given, who is there, and whether workers are ready."""
