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
    """What to predict: a table's column, an array of the file, or the file with the labels of an .npy file. Of pairs
    of texts both columns: QUERIES,DOCUMENTS."""
    task: str = ""
    """classification, zero-shot, binary, multi-label, regression, segmentation or retrieval, where another is
    inferred."""
    types: str = ""
    """Of a table's columns, as COLUMN=number|category|text|skip, separated by commas, where others are inferred."""
    yes: str = ""
    """Which of two targets means yes; the task then is binary."""
    lists: str = ""
    """A table's column that names the list a row belongs to: the rows of a list are ranked by the target."""
    by: str = ""
    """A table's column whose rows of one value are never in two parts: patients, speakers, customers. What is compared
    then are they, and not their rows."""
    time: str = ""
    """A table's column of dates or numbers: the earliest rows train, the latest ones test."""
    split: str = ""
    """A table's column that says where each row belongs: train, val or test."""
    weight: str = ""
    """A table's column that says how much each row counts, for losses and for metrics."""
    valid: str = ""
    """A file with the same columns as the table that trains: its rows tune. Without it some of the training rows do."""
    test: str = ""
    """A file with the same columns as the table that trains: its rows test."""
    megapixels: int = 64
    """Of the largest image that is read: to decode one takes time and memory, however small its file is."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """How networks are trained, the same for every loss."""

    optimizer: Optimizer = "adamw"
    """By which the weights are changed (sgd with a momentum of 0.9); tuning begins at learning rates that suit it."""
    schedule: Schedule = "constant"
    """How the learning rate changes. A constant one lets a run end once it has stopped rising; under cosine, one-cycle
    and step (to a tenth at half and at three quarters) each run goes on to its bound of steps."""
    batch: int = 0
    """Items of a batch; 0: as the data's size and task have it."""
    weight_decay: float = 0.01
    """By the optimizer."""
    device: str = "auto"
    """cpu, cuda (cuda:1), mps or what else PyTorch finds here; auto: an accelerator, where there is one."""
    precision: Precision = "float32"
    """In which networks multiply while they are trained; weights and what is scored are float32."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """The network, if it is not the lab's own."""

    backbone: str = ""
    """timm:NAME or torchvision:NAME for images, transformers:FOLDER for texts, where the library is installed."""
    checkpoint: str = ""
    """A file with the backbone's weights, or none to begin without; by default the library's own."""
    frozen: bool = False
    """The backbone is not trained: a linear layer learns from what it makes of the data."""
