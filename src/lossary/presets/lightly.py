"""lightly's losses for self-supervised learning, in one process: ``gather_distributed`` is Lossary's ``group``."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch import distributed as _distributed

from lossary.core import check as _checks
from lossary.losses.views import decorrelation as _decorrelation
from lossary.losses.views import decoupled as _decoupled
from lossary.losses.views import mutual as _mutual
from lossary.losses.views import selfdistillation as _selfdistillation

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


def nt_xent(
    temperature: float = 0.5, memory_bank_size: Literal[0] = 0, gather_distributed: bool = False
) -> _mutual.NTXentLoss:
    """``NTXentLoss`` without a memory bank: Lossary's :class:`NTXentLoss`; a bank is ``info_nce_loss``'s negatives."""
    if memory_bank_size:
        raise ValueError(f"memory_bank_size: wanted 0; got {memory_bank_size}; a bank is info_nce_loss's negatives")
    _in_one_process(gather_distributed)
    return _mutual.NTXentLoss(temperature=temperature)


def dcl(temperature: float = 0.1, weight_fn: None = None, gather_distributed: bool = False) -> _decoupled.DCLLoss:
    """``DCLLoss`` without a ``weight_fn``: Lossary's :class:`DCLLoss`, which holds no scores of all pairs."""
    if weight_fn is not None:
        raise ValueError(f"weight_fn: wanted None; got {weight_fn!r}; the paper's weights are those of dclw")
    _in_one_process(gather_distributed)
    return _decoupled.DCLLoss(temperature=temperature)


def dclw(temperature: float = 0.1, sigma: float = 0.5, gather_distributed: bool = False) -> _decoupled.DCLLoss:
    """``DCLWLoss``: Lossary's :class:`DCLLoss` with ``weighting="von_mises_fisher"``."""
    _in_one_process(gather_distributed)
    return _decoupled.DCLLoss(temperature=temperature, weighting="von_mises_fisher", sigma=sigma)


def barlow_twins(lambda_param: float = 5e-3, gather_distributed: bool = False) -> _decorrelation.BarlowTwinsLoss:
    """``BarlowTwinsLoss``: Lossary's :class:`BarlowTwinsLoss`.

    Over ranks, the original normalises each rank's batch by its own moments, Lossary's ``group`` by those of all.
    """
    _in_one_process(gather_distributed)
    return _decorrelation.BarlowTwinsLoss(off_diagonal=lambda_param)


def vicreg(
    lambda_param: float = 25.0,
    mu_param: float = 25.0,
    nu_param: float = 1.0,
    gather_distributed: bool = False,
    eps: float = 1e-4,
) -> _decorrelation.VICRegLoss:
    """``VICRegLoss``: Lossary's :class:`VICRegLoss`; lambda is its invariance, mu its variance, nu its covariance."""
    _in_one_process(gather_distributed)
    return _decorrelation.VICRegLoss(invariance=lambda_param, variance=mu_param, covariance=nu_param, eps=eps)


def koleo(eps: float = 1e-8) -> _decorrelation.KoLeoLoss:
    """``KoLeoLoss`` with Euclidean distances (``p=2``): :class:`KoLeoLoss`, without ``eps`` in each difference.

    The original takes a lone embedding as its own neighbour, at a distance of about ``eps``, which costs 17.7; here it
    costs 0.
    """
    return _decorrelation.KoLeoLoss(eps=eps)


def negative_cosine_similarity() -> _selfdistillation.NegativeCosineLoss:
    """``NegativeCosineSimilarity`` (SimSiam, BYOL): Lossary's :class:`NegativeCosineLoss`.

    It is always that at ``dim=1``, and needs no ``eps``. Both sides learn, as there, unless the second is detached;
    Lossary's default holds it constant.
    """
    return _selfdistillation.NegativeCosineLoss(hold_projection=False)


def dino(
    output_dim: int = 65536,
    warmup_teacher_temp: float = 0.04,
    teacher_temp: float = 0.04,
    warmup_teacher_temp_epochs: int = 30,
    student_temp: float = 0.1,
    center_momentum: float = 0.9,
) -> nn.Module:
    """``DINOLoss``, called with lists of a teacher's and a student's views: Lossary's :class:`DINOLoss`.

    As there, the call also takes ``teacher_temp``, or ``epoch``, by which the teacher's temperature is warmed up; with
    neither there is no warm-up. The center is updated in training and in evaluation, as there; its only
    ``center_mode`` is ``"mean"``.
    """
    return _DINO(
        output_dim, warmup_teacher_temp, teacher_temp, warmup_teacher_temp_epochs, student_temp, center_momentum
    )


def swav(
    temperature: float = 0.1,
    sinkhorn_iterations: int = 3,
    sinkhorn_epsilon: float = 0.05,
    sinkhorn_gather_distributed: bool = False,
) -> nn.Module:
    """``SwaVLoss``, called with lists of large and small crops, and of a queue's: Lossary's :class:`SwAVLoss`.

    The original's exponentials of scores over 0.05 are infinite from scores of 4.5 on in float32, 0.6 in float16.
    """
    _in_one_process(sinkhorn_gather_distributed)
    loss = _selfdistillation.SwAVLoss(temperature=temperature, epsilon=sinkhorn_epsilon, iterations=sinkhorn_iterations)
    return _SwAV(loss)


def _in_one_process(gathered: bool) -> None:
    if gathered:
        wanted = "wanted False, and the process group in the call, as group=torch.distributed.group.WORLD"
        raise ValueError(f"gather_distributed: {wanted}; got True")


class _DINO(nn.Module):
    def __init__(
        self,
        output_dim: int,
        warmup_teacher_temp: float,
        teacher_temp: float,
        warmup_teacher_temp_epochs: int,
        student_temp: float,
        center_momentum: float,
    ) -> None:
        super().__init__()
        self.loss = _selfdistillation.DINOLoss(
            center=torch.zeros(output_dim),
            teacher_temperature=teacher_temp,
            student_temperature=student_temp,
            hold_teacher=False,
        )
        _checks.check_number("warmup_teacher_temp", warmup_teacher_temp, low=0)
        _checks.check_whole("warmup_teacher_temp_epochs", warmup_teacher_temp_epochs, low=0)
        self.warmup = warmup_teacher_temp, warmup_teacher_temp_epochs
        self.center_momentum = center_momentum

    def forward(
        self,
        teacher_out: _Views,
        student_out: _Views,
        teacher_temp: float | None = None,
        epoch: int | None = None,
    ) -> Tensor:
        student, teacher = torch.stack(student_out, 1), torch.stack(teacher_out, 1)
        given = self._in_epoch(epoch) if teacher_temp is None else teacher_temp
        loss = self.loss(student, teacher, **{} if given is None else {"teacher_temperature": given})
        self.loss.update_center(teacher, momentum=self.center_momentum)
        return loss

    def _in_epoch(self, epoch: int | None) -> float | None:
        """From the first temperature in epoch 0 along a line to the last in the last epoch of the warm-up."""
        first, epochs = self.warmup
        if epoch is None or epoch >= epochs:
            return None
        return first + (float(self.loss.teacher_temperature) - first) * epoch / max(epochs - 1, 1)


class _SwAV(nn.Module):
    """Lists of views as one tensor; a queue's scores share in the assignments, and cost nothing."""

    def __init__(self, loss: _selfdistillation.SwAVLoss) -> None:
        super().__init__()
        self.loss = loss

    def forward(
        self,
        high_resolution_outputs: _Views,
        low_resolution_outputs: _Views,
        queue_outputs: _Views | None = None,
        *,
        group: _distributed.ProcessGroup | None = None,
    ) -> Tensor:
        student = torch.stack([*high_resolution_outputs, *low_resolution_outputs], 1)
        teacher = torch.stack(high_resolution_outputs, 1)
        if queue_outputs is None:
            return self.loss(student, teacher, group=group)
        queue = torch.stack(queue_outputs, 1).detach()
        filled = torch.cat([student, student.new_zeros(len(queue), *student.shape[1:])])
        counted = (torch.arange(len(filled), device=filled.device) < len(student)).to(filled.dtype)
        return self.loss(filled, torch.cat([teacher, queue]), sample_weight=counted, group=group)
