"""The rule that n and γ must obey."""

from __future__ import annotations

from fcdcc_keras.errors import PlanError


def check_redundancy(workers: int, stragglers: int) -> None:
    """Checks that n workers can miss γ of them.

    Raises:
        PlanError: γ is negative or not below n, or one of them is no integer.
    """
    for name, value in (("workers", workers), ("stragglers", stragglers)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise PlanError(
                f"`{name}` must be an integer. Received: {name}={value!r}. Give a "
                "whole number."
            )
    if workers < 1:
        raise PlanError(
            f"There must be at least one worker. Received: workers={workers}. Give "
            "the number of workers to spread the layers over."
        )
    if not 0 <= stragglers < workers:
        raise PlanError(
            "`stragglers` must be at least 0 and less than `workers`, for someone "
            f"must be left to answer. Received: stragglers={stragglers}, "
            f"workers={workers}. Use 0 to {workers - 1} stragglers, or more workers."
        )
