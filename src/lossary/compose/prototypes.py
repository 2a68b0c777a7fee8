"""Prototypes among which student and teacher distribute views: so many that their scores are never held whole."""

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from lossary.core.check import check_dim, check_float, check_number, check_shape
from lossary.core.reduce import Reduction, align, one_weight, reduce
from lossary.core.rules import Positive, checked
from lossary.kernels.graph import learns
from lossary.kernels.products import multiplied_in
from lossary.kernels.rows.losses import read_loss
from lossary.kernels.rows.readings import ItemBlock, read_rows
from lossary.kernels.rows.scores import Bilinear
from lossary.kernels.rows.swept import Pulled
from lossary.kernels.stable import LOG2_E, accumulate, parameters, sphere_apart, unit
from lossary.losses.views.selfdistillation import (
    Center,
    DINOLoss,
    check_views,
    in_views,
    mean_over_ranks,
    moved,
    view_entropy,
    view_pull,
)

__all__ = ["DINOHead", "linear_dino_loss"]


@checked
def linear_dino_loss(
    student: Tensor,
    weight: Tensor,
    teacher: Tensor,
    teacher_weight: Tensor,
    *,
    center: Center | None = None,
    student_temperature: Positive = 0.1,
    teacher_temperature: Positive = 0.04,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r""":func:`dino_loss` of the cosines between features and prototypes: memory grows with N + K, not N K.

    .. math:: -\frac{1}{P} \sum_{u \ne v} \sum_k q_{uk} \log p_{vk}

    Args:
        student: Features of V views per item, (N, V, D), of which the first U are the teacher's; or (N, D), with the
            teacher's from another view.
        weight: (K, D), the student's prototypes.
        teacher: (N, U, E), or (N, E). No gradient flows to the teacher.
        teacher_weight: (K, E).
        center: (K,), subtracted from the teacher's cosines; None is 0.
        student_temperature: Above 0; a Parameter is learned.
        teacher_temperature: Above 0; a Parameter is learned.
        sample_weight: (N,) weights of the items; mean is ``sum(w l) / sum(w)``.
        mask: (N,) boolean, True where an item counts.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or (N,).

    Raises:
        ValueError: Shapes that do not fit, a temperature not above 0.
        TypeError: Arguments that are not floating-point.

    Example:
        >>> import torch
        >>> x = torch.eye(4)
        >>> linear_dino_loss(x, x, x, x)
        tensor(0.0001)

    Source:
        Caron et al., arXiv:2104.14294, with the weight-normalised last layer of its appendix C. All scores are held
        under ``torch.compile`` and ``torch.func``, and for second derivatives.
    """
    apart = check_views(student, teacher)
    for name, prototypes, features in (("weight", weight, student), ("teacher_weight", teacher_weight, teacher)):
        check_float(name, prototypes)
        check_dim(name, prototypes, 2, "(K, D)")
        check_shape(name, prototypes, (len(weight), features.shape[-1]))
    if center is not None:
        check_shape("center", center, (len(weight),))
    sample_weight, mask = align(sample_weight, mask, student.shape[:1])
    views = in_views(student, mask), in_views(teacher.detach(), mask)
    of_student, of_teacher = parameters((student_temperature, teacher_temperature), student)
    shift = None if center is None else -center.to(views[0].dtype) / of_teacher
    sources = (
        _cosines(views[0], weight, 1 / of_student, None),
        _cosines(views[1], teacher_weight.detach(), 1 / of_teacher, shift),
    )

    each = views[0].shape[1], views[1].shape[1]

    def read(_: slice, first: Tensor, second: Tensor) -> tuple[Tensor]:
        return (view_entropy(first.unflatten(0, (-1, each[0])), second.unflatten(0, (-1, each[1])), apart),)

    def pull(_: slice, by_loss: Tensor, first: ItemBlock, second: ItemBlock) -> tuple[Tensor, tuple[Pulled, None]]:
        return view_pull(first, second, by_loss, apart)

    if any(map(learns, sources[1].tensors)):  # a temperature
        (losses,) = read_rows(read, *sources, each=each)
        return reduce(losses, weight=sample_weight, mask=mask, reduction=reduction)
    of_items = one_weight(sample_weight, mask, student.shape[:1], views[0].dtype)
    units = (LOG2_E, LOG2_E)
    return read_loss(read, pull, *sources, weight=of_items, reduction=reduction, each=each, units=units)


def _cosines(views: Tensor, prototypes: Tensor, scale: float | Tensor, shift: Tensor | None) -> Bilinear:
    half = multiplied_in(views, prototypes)
    x, factor = sphere_apart(views.flatten(0, 1), scale, half)
    return Bilinear(x, prototypes, shift, unit=True, row_factor=factor, half=half)


class DINOHead(nn.Module):
    """The prototypes of a student and its teacher, the center, and :func:`dino_loss`, in linear memory.

    In training, each call moves the center towards the teacher's scores, after the loss.

    Args:
        loss: The loss with its temperatures; its own center stays None.
        num_prototypes: K.
        embedding_size: D, of the features before the prototypes.
        center_momentum: How much of the center a step keeps, from 0 to 1.

    Example:
        >>> import torch, lossary
        >>> head = lossary.DINOHead(lossary.DINOLoss(), num_prototypes=1000, embedding_size=8)
        >>> loss = head(torch.randn(4, 6, 8), torch.randn(4, 2, 8))  # six crops, of which two are the teacher's
        >>> loss.backward()
        >>> head.follow(0.996)  # the teacher's prototypes follow the student's, as its network does
    """

    center: Tensor
    teacher_weight: Tensor

    def __init__(
        self, loss: DINOLoss, *, num_prototypes: int, embedding_size: int, center_momentum: float = 0.9
    ) -> None:
        super().__init__()
        check_number("center_momentum", center_momentum, low=0, high=1)
        if loss.center is not None:
            raise ValueError("loss: wanted one without a center, which the head keeps; got one with it")
        self.loss, self.center_momentum = loss, center_momentum
        self.weight = nn.Parameter(nn.init.normal_(torch.empty(num_prototypes, embedding_size)))
        self.register_buffer("teacher_weight", self.weight.detach().clone())
        self.register_buffer("center", torch.zeros(num_prototypes))

    def forward(
        self,
        student: Tensor,
        teacher: Tensor,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        group: ProcessGroup | None = None,
    ) -> Tensor:
        """The loss of features (N, V, D) and (N, U, D), or (N, D) each.

        Args:
            student: Features of the student's views, the teacher's first.
            teacher: Features of the teacher's.
            sample_weight: (N,).
            mask: (N,) boolean, True where an item counts, in the center too.
            group: Process group over whose ranks the center is averaged.
        """
        loss = linear_dino_loss(
            student,
            self.weight,
            teacher,
            self.teacher_weight,
            center=self.center,
            student_temperature=self.loss.student_temperature,
            teacher_temperature=self.loss.teacher_temperature,
            sample_weight=sample_weight,
            mask=mask,
            reduction=self.loss.reduction,
        )
        if self.training:
            self._move_center(teacher if mask is None else teacher[mask], group)
        return loss

    @torch.no_grad()
    def _move_center(self, teacher: Tensor, group: ProcessGroup | None) -> None:
        # The mean of the cosines is linear in the unit features, so it needs no scores.
        mean = mean_over_ranks(unit(accumulate(teacher)).flatten(0, -2), group)
        moved(self.center, unit(accumulate(self.teacher_weight)) @ mean, self.center_momentum)

    @torch.no_grad()
    def follow(self, momentum: float) -> None:
        """Move the teacher's prototypes towards the student's, keeping a share ``momentum`` of the former."""
        check_number("momentum", momentum, low=0, high=1)
        moved(self.teacher_weight, self.weight, momentum)
