"""Two scores beside each other, and a teacher's."""

import torch

from lossary.losses.lists.pairwise import margin_mse_loss
from lossary.losses.values.regression import mse_loss


def scores() -> tuple[torch.Tensor, ...]:
    g = torch.Generator().manual_seed(0)
    return tuple(torch.randn(6, 3, generator=g, dtype=torch.float64) * 5 for _ in range(4))


def test_the_margins_error_is_that_of_the_differences() -> None:
    """As Sentence Transformers computes it: the mean squared error of the student's margins and the teacher's."""
    student, other, teacher, its_other = scores()
    got = margin_mse_loss(student, other, teacher - its_other)
    torch.testing.assert_close(got, mse_loss(student - other, teacher - its_other))


def test_levels_do_not_matter_and_the_order_of_the_two_does() -> None:
    student, other, target, _ = scores()
    wanted = margin_mse_loss(student, other, target)
    torch.testing.assert_close(margin_mse_loss(student + 7, other + 7, target), wanted)
    torch.testing.assert_close(margin_mse_loss(other, student, -target), wanted)
    assert margin_mse_loss(other, student, target) != wanted


def test_one_positive_beside_several_negatives() -> None:
    student, other, target, _ = scores()
    got = margin_mse_loss(student[:, :1].expand(6, 3), other, target, reduction="none")
    torch.testing.assert_close(got, (student[:, :1] - other - target).square())
