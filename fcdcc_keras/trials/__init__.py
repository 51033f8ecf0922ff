"""What demo, bench and evaluate share: data, small models, and workers taken away."""
