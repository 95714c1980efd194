import matplotlib.pyplot as plt
import pytest


@pytest.fixture(autouse=True)
def closed():
    """Close every picture that a test drew."""
    yield
    plt.close("all")
