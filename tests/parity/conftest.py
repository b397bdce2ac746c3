"""What all comparisons with torch stand on."""

import pytest


@pytest.fixture(scope="session")
def randomised():
    """Makes every number of a torch model random, norms and biases too: none is compared at 0."""
    torch = pytest.importorskip("torch", reason="numerical parity needs torch")

    def fill(model):
        torch.manual_seed(0)
        with torch.no_grad():
            for key, weight in model.named_parameters():
                flat = weight.ndim == 1 or "embed" in key
                weight.normal_(std=0.3 if flat else weight.shape[-1] ** -0.5)
                if "norm" in key.lower() and key.endswith("weight"):
                    weight.add_(1.0)
        return model.eval()

    return fill
