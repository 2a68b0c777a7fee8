"""Other libraries' losses, by their names in lower case without ``Loss``, as Lossary losses.

A preset has the other library's arguments, given by keyword, its defaults, value and gradient, so you can move a run
first and improve it then. Its docstring names the Lossary loss behind it and, where the original is wrong, the option
that fixes it. Arguments left out of a preset (such as MONAI's ``other_act``) have no counterpart here.

Example:
    Four libraries' Dice of one prediction: over the batch, per sample and class, per sample, and squared.

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
    _names,
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

for _library in __all__:
    _names.closed(globals()[_library])
