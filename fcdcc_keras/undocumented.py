"""What to say where another library is not as this package relies on.

Keras, Dask and TensorFlow have parts that their documentation does not promise. What is
used of them stands in one module for each: ``rewriting.keras_internals``,
``dask_internals``, ``layers.tensorflow_internals``. Each function there wraps
one assumption, and ``tests/assumptions`` has a test of each.
"""

from __future__ import annotations

import sys

from fcdcc_keras.errors import FcdccError


def changed(
    library: str, assumed: str, kind: type[FcdccError] = FcdccError
) -> FcdccError:
    """Returns the error for a version of a library in which something is not so.

    Args:
        library: The module's name, as "keras".
        assumed: What should be so.
        kind: The error's class.
    """
    version = getattr(sys.modules.get(library), "__version__", "of unknown version")
    return kind(
        f"fcdcc_keras relies on something that {library} does not document: {assumed}. "
        f"Received: {library} {version}, where that is not so. Install an earlier "
        f"version of {library}, or a later one of fcdcc_keras."
    )
