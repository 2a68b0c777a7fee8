"""lightly's losses for self-supervised learning, in one process: ``gather_distributed`` is Lossary's ``group``."""

import torch
from torch import Tensor, nn

from lossary.losses.views import decorrelation as _decorrelation
from lossary.losses.views import decoupled as _decoupled
from lossary.losses.views import mutual as _mutual
from lossary.losses.views import selfdistillation as _selfdistillation
from lossary.presets import _shared

__all__ = [
    "barlow_twins",
    "dcl",
    "dclw",
    "dino",
    "koleo",
    "negative_cosine_similarity",
    "nt_xent",
    "swav",
    "vicreg",
]

_Views = list[Tensor]


def nt_xent(temperature: float = 0.5) -> _mutual.NTXentLoss:
    """``NTXentLoss`` without a memory bank: Lossary's :class:`NTXentLoss`; a bank is ``info_nce_loss``'s negatives."""
    return _mutual.NTXentLoss(temperature=temperature)


def dcl(temperature: float = 0.1) -> _decoupled.DCLLoss:
    """``DCLLoss`` without a ``weight_fn``: Lossary's :class:`DCLLoss`, which holds no scores of all pairs."""
    return _decoupled.DCLLoss(temperature=temperature)


def dclw(temperature: float = 0.1, sigma: float = 0.5) -> _decoupled.DCLLoss:
    """``DCLWLoss``: Lossary's :class:`DCLLoss` with ``weighting="von_mises_fisher"``."""
    return _decoupled.DCLLoss(temperature=temperature, weighting="von_mises_fisher", sigma=sigma)


def barlow_twins(lambda_param: float = 5e-3) -> _decorrelation.BarlowTwinsLoss:
    """``BarlowTwinsLoss``: Lossary's :class:`BarlowTwinsLoss`.

    Over ranks, the original normalises each rank's batch by its own moments, Lossary's ``group`` by those of all.
    """
    return _decorrelation.BarlowTwinsLoss(off_diagonal=lambda_param)


def vicreg(
    lambda_param: float = 25.0, mu_param: float = 25.0, nu_param: float = 1.0, eps: float = 1e-4
) -> _decorrelation.VICRegLoss:
    """``VICRegLoss``: Lossary's :class:`VICRegLoss`; lambda is its invariance, mu its variance, nu its covariance."""
    return _decorrelation.VICRegLoss(invariance=lambda_param, variance=mu_param, covariance=nu_param, eps=eps)


def koleo(eps: float = 1e-8) -> _decorrelation.KoLeoLoss:
    """``KoLeoLoss`` with Euclidean distances: Lossary's :class:`KoLeoLoss`, without ``eps`` in each difference."""
    return _decorrelation.KoLeoLoss(eps=eps)


def negative_cosine_similarity() -> _selfdistillation.NegativeCosineLoss:
    """``NegativeCosineSimilarity`` (SimSiam, BYOL): Lossary's :class:`NegativeCosineLoss`.

    Both sides learn, as there, unless the second is detached; Lossary's default holds it constant.
    """
    return _selfdistillation.NegativeCosineLoss(hold_projection=False)


def dino(
    output_dim: int = 65536, teacher_temp: float = 0.04, student_temp: float = 0.1, center_momentum: float = 0.9
) -> nn.Module:
    """``DINOLoss``, called with lists of a teacher's and a student's views: Lossary's :class:`DINOLoss`.

    The center is updated in training and in evaluation, as there. To warm up the teacher's temperature, set
    ``loss.loss.teacher_temperature``; the original takes ``epoch`` for that.
    """
    return _DINO(output_dim, teacher_temp, student_temp, center_momentum)


def swav(temperature: float = 0.1, sinkhorn_iterations: int = 3, sinkhorn_epsilon: float = 0.05) -> nn.Module:
    """``SwaVLoss`` without a queue, called with lists of large and small crops: Lossary's :class:`SwAVLoss`.

    The original's exponentials of scores over 0.05 are infinite from scores of 4.5 on in float32, 0.6 in float16.
    """
    loss = _selfdistillation.SwAVLoss(temperature=temperature, epsilon=sinkhorn_epsilon, iterations=sinkhorn_iterations)
    return _shared.Called(loss, _crops)


class _DINO(nn.Module):
    def __init__(self, output_dim: int, teacher_temp: float, student_temp: float, center_momentum: float) -> None:
        super().__init__()
        self.loss = _selfdistillation.DINOLoss(
            center=torch.zeros(output_dim),
            teacher_temperature=teacher_temp,
            student_temperature=student_temp,
            hold_teacher=False,
        )
        self.center_momentum = center_momentum

    def forward(self, teacher_out: _Views, student_out: _Views) -> Tensor:
        student, teacher = torch.stack(student_out, 1), torch.stack(teacher_out, 1)
        loss = self.loss(student, teacher)
        self.loss.update_center(teacher, momentum=self.center_momentum)
        return loss


def _crops(high_resolution_outputs: _Views, low_resolution_outputs: _Views) -> tuple[Tensor, Tensor]:
    student = torch.stack([*high_resolution_outputs, *low_resolution_outputs], 1)
    return student, torch.stack(high_resolution_outputs, 1)
