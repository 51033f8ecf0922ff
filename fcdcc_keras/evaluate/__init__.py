"""``fcdcc-keras evaluate``: a model judged on data, plainly and over workers."""
