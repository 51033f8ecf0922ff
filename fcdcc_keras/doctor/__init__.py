"""What ails a cluster: what is found, what it means, what can be expected of it."""
