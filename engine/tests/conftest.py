import numpy as np
import pytest


@pytest.fixture(scope="session")
def data() -> tuple[np.ndarray, np.ndarray]:
    """600 rows x 6 float32 features without missing values, and a score that they partly explain."""
    rng = np.random.default_rng(20)
    x = rng.normal(size=(600, 6)).astype(np.float32)
    return x, x[:, 0] + x[:, 1] ** 2 - x[:, 2] * x[:, 3] + rng.normal(size=600)


@pytest.fixture(scope="session")
def binary(data) -> tuple[np.ndarray, np.ndarray]:
    x, score = data
    return x, (score > 0.5).astype(float)
