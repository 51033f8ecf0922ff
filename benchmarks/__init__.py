"""What is measured, from a clone of the repository: the wheel has none of it."""
