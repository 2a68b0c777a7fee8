"""Options of a comparison, each defined once: its name, its default, and its help text.

They are fields of a plan and options of the command line, where each class is a group of the help.
"""

from dataclasses import dataclass
from typing import Literal

Optimizer = Literal["adamw", "adam", "sgd"]
Schedule = Literal["constant", "cosine", "one-cycle", "step"]
Precision = Literal["float32", "bf16", "fp16"]


@dataclass(frozen=True, kw_only=True)
class Files:
    """For data read from files."""

    target: str = ""
    """What to predict: a table's column, an array of the file, or the file with the labels of an .npy file. For
    pairs of texts, both columns: QUERIES,DOCUMENTS."""
    task: str = ""
    """classification, zero-shot, binary, multi-label, regression, segmentation or retrieval, to override the
    inferred task."""
    types: str = ""
    """Column types of a table, as COLUMN=number|category|text|skip, separated by commas, to override the inferred
    ones."""
    yes: str = ""
    """Which of two targets means yes; the task then is binary."""
    lists: str = ""
    """A table's column that names the list a row belongs to: the rows of a list are ranked by the target."""
    by: str = ""
    """A table's column of groups that are never split between parts: patients, speakers, customers. The verdict
    then compares groups, not rows."""
    time: str = ""
    """A table's column of dates or numbers: the earliest rows train, the latest ones test."""
    split: str = ""
    """A table's column that says where each row belongs: train, val or test."""
    weight: str = ""
    """A table's column that says how much each row counts, for losses and for metrics."""
    valid: str = ""
    """A file with the same columns as the table that trains: its rows tune. Without it, some of the training rows
    do."""
    test: str = ""
    """A file with the same columns as the table that trains: its rows test."""
    megapixels: int = 64
    """Size of the largest image to read: decoding takes time and memory, however small the file is."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """How networks are trained, the same for every loss."""

    optimizer: Optimizer = "adamw"
    """How weights are updated (sgd has a momentum of 0.9); tuning begins at learning rates that suit it."""
    schedule: Schedule = "constant"
    """How the learning rate changes. With a constant rate a run ends once it has stopped rising; with cosine,
    one-cycle and step (to a tenth at half and at three quarters) each run continues to its bound of steps."""
    batch: int = 0
    """Items per batch; 0: chosen by the data's size and the task."""
    weight_decay: float = 0.01
    """Applied by the optimizer to all weights."""
    device: str = "auto"
    """cpu, cuda (cuda:1), mps or any other device that PyTorch finds; auto: an accelerator if there is one."""
    precision: Precision = "float32"
    """Precision of the networks' multiplications in training; weights and scores stay float32."""


#: Tasks that no backbone is for: it makes one prediction per item.
WITHOUT_BACKBONE = ("segmentation", "ranking", "retrieval")


@dataclass(frozen=True, kw_only=True)
class Network:
    """The network, if it is not the lab's own."""

    backbone: str = ""
    """timm:NAME or torchvision:NAME for images, transformers:FOLDER for texts, if the library is installed."""
    checkpoint: str = ""
    """A file with the backbone's weights, or none to start from random weights; by default the library's own."""
    frozen: bool = False
    """The backbone is not trained: a linear layer is trained on its output."""
