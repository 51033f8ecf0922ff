"""α predicts how much the workers' rounding noise grows in the worst block."""

import numpy as np
import pytest

from fcdcc_keras.codes import CRME, Code, Uncoded

_TRIALS = 4000


def _grown(code: Code, survivors: list[int]) -> float:
    """RMS error of the worst block, for noise of the size of what is computed."""
    columns = np.hstack(
        [
            np.kron(
                code.input_matrix[:, code.ell_a * w : code.ell_a * (w + 1)],
                code.kernel_matrix[:, code.ell_b * w : code.ell_b * (w + 1)],
            )
            for w in survivors
        ]
    )
    rng = np.random.default_rng(11)
    blocks = rng.standard_normal((code.k_a * code.k_b, _TRIALS))
    size = np.sqrt((columns**2).sum(axis=0))
    noise = size[:, None] * rng.standard_normal((columns.shape[1], _TRIALS))
    decoded = code.decoder(survivors).decode(columns.T @ blocks + noise)
    return float(np.sqrt(((decoded - blocks) ** 2).mean(axis=1)).max())


@pytest.mark.parametrize(
    ("code", "survivors"),
    [
        (CRME(4, 4, 6), [0, 1, 2, 3]),
        (CRME(4, 4, 6), [2, 3, 4, 5]),
        (CRME(4, 4, 6), [0, 1, 3, 4, 5]),
        (CRME(4, 4, 6, q=7), [1, 2, 3, 4]),
        (CRME(8, 1, 6), [0, 2, 4, 5]),
        (CRME(1, 8, 6), [0, 1, 2, 3, 4, 5]),
        (CRME(8, 8, 20), [0, 1, 2, *range(7, 20)]),
        (CRME(8, 8, 20, q=21), list(range(4, 20))),
        (Uncoded(2, 3, 6), [0, 1, 2, 3, 4, 5]),
    ],
    ids=str,
)
def test_noise_grows_as_predicted(code: Code, survivors: list[int]) -> None:
    predicted = code.decoder(survivors).amplification
    assert _grown(code, survivors) == pytest.approx(predicted, rel=0.2)


def test_unequal_results_are_weighed_by_their_noise() -> None:
    # Three results for one block; the second is twice as large, and as noisy.
    from fcdcc_keras.codes.decoding import decoding_matrix

    matrix, amplification = decoding_matrix(np.array([[1.0, 2.0, 1.0]]))
    np.testing.assert_allclose(matrix[:, 0], [1 / 3, 1 / 6, 1 / 3], rtol=1e-14)
    assert amplification == pytest.approx(1 / np.sqrt(3), rel=1e-14)
