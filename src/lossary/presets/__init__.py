"""Other libraries' losses by their names, arguments and defaults, as Lossary losses.

A preset gives the other library's value and gradient, so that a run can be moved first and improved then. Its docstring
names the Lossary loss it is made of, and where the original is wrong, the option that mends it. What is left out of a
preset's arguments (as MONAI's ``other_act``) has no counterpart here.

Example:
    Four libraries' Dice of the same prediction: of the batch, of each sample and class, of each sample, and squared.

    >>> import torch
    >>> from lossary import presets
    >>> logits = torch.tensor([[[2.0, 1.0, 0.0, 0.0], [0.0, 0.0, 3.0, 1.0], [0.0, 0.0, 0.0, 0.0]]]).repeat(2, 1, 1)
    >>> labels = torch.tensor([[0, 0, 1, 1], [0, 0, 0, 2]])
    >>> presets.segmentation_models_pytorch.dice("multiclass")(logits, labels)
    tensor(0.5335)
    >>> presets.monai.dice(softmax=True, to_onehot_y=True)(logits, labels[:, None])
    tensor(0.5979)
    >>> presets.kornia.dice()(logits, labels)
    tensor(0.4414)
    >>> presets.mmsegmentation.dice(use_sigmoid=False)(logits, labels)
    tensor(0.2927)
"""

from lossary.presets import (
    insightface,
    kornia,
    lightly,
    mmsegmentation,
    monai,
    pytorch_metric_learning,
    segmentation_models_pytorch,
    sentence_transformers,
    timm,
    torchvision,
)

__all__ = [
    "insightface",
    "kornia",
    "lightly",
    "mmsegmentation",
    "monai",
    "pytorch_metric_learning",
    "segmentation_models_pytorch",
    "sentence_transformers",
    "timm",
    "torchvision",
]
