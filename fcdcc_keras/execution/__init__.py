"""A coded layer on a cluster, or in process: from its input to its output."""
