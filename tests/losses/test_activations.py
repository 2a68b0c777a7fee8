"""Activations: worked numbers, extremes, never in place."""

import torch

from lossary import sigmoid, softmax, sum_normalize


def test_softmax_hears_differences_and_sum_normalize_ratios() -> None:
    small, large = torch.tensor([1.0, 2.0]), torch.tensor([10.0, 20.0])
    torch.testing.assert_close(softmax(small), torch.tensor([0.268941, 0.731059]), rtol=0, atol=1e-6)
    torch.testing.assert_close(softmax(large), torch.tensor([4.5398e-5, 0.9999546]), rtol=0, atol=1e-7)
    torch.testing.assert_close(softmax(small + 100), softmax(small))
    torch.testing.assert_close(sum_normalize(small), sum_normalize(large))
    torch.testing.assert_close(sum_normalize(small), torch.tensor([1 / 3, 2 / 3]))


def test_extremes_are_finite() -> None:
    assert softmax(torch.tensor([1e4, -1e4, 0.0])).tolist() == [1.0, 0.0, 0.0]
    assert sigmoid(torch.tensor([1e4, -1e4])).tolist() == [1.0, 0.0]
    zeros = torch.zeros(3, requires_grad=True)
    shares = sum_normalize(zeros)
    shares.sum().backward()
    assert shares.tolist() == [0.0, 0.0, 0.0]
    assert zeros.grad is not None
    assert zeros.grad.isfinite().all()


def test_unsigned_scores_do_not_wrap_around() -> None:
    """Shifted by their maximum in place, as a lecture does it, scores of 1 and 2 become 255 and 0."""
    scores = torch.tensor([1, 2], dtype=torch.uint8)
    torch.testing.assert_close(softmax(scores), softmax(scores.float()))
    assert scores.tolist() == [1, 2]


def test_sigmoid_is_a_softmax_over_two() -> None:
    z = torch.randn(6, dtype=torch.float64)
    torch.testing.assert_close(sigmoid(z), softmax(torch.stack([z, torch.zeros_like(z)], 1))[:, 0])
