"""What runs on a worker: its command, the handler of subtasks, and their replies."""
