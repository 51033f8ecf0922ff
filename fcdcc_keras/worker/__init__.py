"""What runs on a worker: its command, the handler of subtasks, and their replies."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"nanny": ["Worker"]}
)
