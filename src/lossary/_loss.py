"""The whole class system: a loss Module is typed fields over a function."""

from collections.abc import Callable
from typing import Any, ClassVar, dataclass_transform

import torch
from torch import Tensor, nn

_MISSING = object()


def hold(module: nn.Module, name: str, value: Any) -> None:
    """Set ``module.name``: a Parameter learns, a plain tensor becomes a buffer, anything else stays as it is."""
    if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
        module.register_buffer(name, value)
    else:
        setattr(module, name, value)


@dataclass_transform()
class Loss(nn.Module):
    """A loss function with its hyperparameters.

    A subclass names its function and repeats the function's hyperparameters as typed fields::

        class FocalLoss(Loss):
            fn = staticmethod(focal_loss)
            gamma: float = 2.0
            reduction: Reduction = "mean"

    A field given as ``nn.Parameter`` learns, a plain tensor becomes a buffer, anything else stays as it is.
    What changes from batch to batch (``sample_weight``, ``mask``, ...) is given at the call.
    """

    fn: ClassVar[Callable[..., Tensor]]
    fields: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own = [n for n in cls.__dict__.get("__annotations__", {}) if n not in ("fn", "fields")]
        # Off the class: nn.Module refuses a Parameter whose name is a class attribute.
        taken: dict[str, Any] = {name: cls.__dict__.get(name, _MISSING) for name in own}
        for name, default in taken.items():
            if default is not _MISSING:
                delattr(cls, name)
        cls.fields = {**cls.fields, **taken}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        cls = type(self)
        if len(args) > len(cls.fields):
            raise TypeError(f"{cls.__name__} takes at most {len(cls.fields)} arguments; got {len(args)}")
        given = dict(zip(cls.fields, args, strict=False))
        for name, value in kwargs.items():
            if name not in cls.fields:
                raise TypeError(f"{cls.__name__} has no argument {name!r}; it has {', '.join(cls.fields)}")
            if name in given:
                raise TypeError(f"{cls.__name__} got {name!r} twice")
            given[name] = value
        for name, default in cls.fields.items():
            value = given.get(name, default)
            if value is _MISSING:
                raise TypeError(f"{cls.__name__} needs {name!r}")
            hold(self, name, value)
        self.setup()

    def setup(self) -> None:
        """Make what the fields alone do not hold (weights); called once at the end of ``__init__``."""

    def hyperparameters(self) -> dict[str, Any]:
        """The fields as they stand now, by name."""
        return {name: getattr(self, name) for name in type(self).fields}

    def forward(self, *inputs: Tensor, **extra: Any) -> Tensor:
        return type(self).fn(*inputs, **{**self.hyperparameters(), **extra})

    def extra_repr(self) -> str:
        shown = ((n, v) for n, v in self.hyperparameters().items() if not isinstance(v, Tensor))
        return ", ".join(f"{n}={v!r}" for n, v in shown)


class HeadLoss(Loss):
    """A loss that owns a weight vector a class, or several, and is called ``(embeddings, labels)``."""

    num_classes: int
    embedding_size: int
    sub_centers: int = 1

    def setup(self) -> None:
        several = isinstance(self.sub_centers, int) and self.sub_centers > 1
        if not several and self.sub_centers != 1:
            raise ValueError(f"sub_centers: wanted a whole number from 1 up; got {self.sub_centers}")
        centers = (self.sub_centers,) if several else ()
        weight = torch.empty(self.num_classes, *centers, self.embedding_size)
        # Directions are what counts; unit expected length, so that a head without normalisation starts tame.
        self.weight = nn.Parameter(nn.init.normal_(weight, std=self.embedding_size**-0.5))

    def hyperparameters(self) -> dict[str, Any]:
        own = super().hyperparameters()
        return {n: v for n, v in own.items() if n not in HeadLoss.fields}

    def forward(self, *inputs: Tensor, **extra: Any) -> Tensor:
        embeddings, labels = inputs
        return type(self).fn(embeddings, self.weight, labels, **{**self.hyperparameters(), **extra})

    def get_logits(self, embeddings: Tensor) -> Tensor:
        """The scores of all classes without a margin, for inference: cosines, (N, num_classes)."""
        cosines = nn.functional.normalize(embeddings) @ nn.functional.normalize(self.weight, dim=-1).flatten(0, -2).T
        return cosines if self.sub_centers == 1 else cosines.unflatten(1, (-1, self.sub_centers)).amax(2)

    def extra_repr(self) -> str:
        centers = "" if self.sub_centers == 1 else f"sub_centers={self.sub_centers}, "
        sizes = f"num_classes={self.num_classes}, embedding_size={self.embedding_size}, {centers}"
        return sizes + super().extra_repr()
