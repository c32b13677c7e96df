"""Images that both packages learn from."""

import numpy as np
import pytest

from fastpath.data import datasets


@pytest.fixture(scope="module")
def digits():
    """Digits of unit norm (image, pixel), float64."""
    x = datasets.load("digits").x_train[:60].reshape(60, -1) / 255
    return x / np.linalg.norm(x, axis=1, keepdims=True)
