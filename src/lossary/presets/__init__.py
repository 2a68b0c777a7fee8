"""Other libraries' losses by their names, arguments and defaults, as Lossary losses.

A preset gives the other library's value and gradient, so that a run can be moved first and improved then. Its docstring
names the Lossary loss it is made of, and where the original is wrong, the option that mends it. What is left out of a
preset's arguments (as MONAI's ``other_act``) has no counterpart here.
"""

from lossary.presets import (
    insightface,
    kornia,
    mmsegmentation,
    monai,
    pytorch_metric_learning,
    segmentation_models_pytorch,
    sentence_transformers,
)

__all__ = [
    "insightface",
    "kornia",
    "mmsegmentation",
    "monai",
    "pytorch_metric_learning",
    "segmentation_models_pytorch",
    "sentence_transformers",
]
