"""The data sets that need no network and no file of the user's."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from lossary.lab.data import builtin_packages
from lossary.lab.data._types import Data, Split
from lossary.lab.data.earth import earth
from lossary.lab.data.splits import SPLIT_SEED
from lossary.lab.data.targets import regression
from lossary.lab.plan import Plan

#: Shares of training and validation; the rest is test. Zero-shot: of the classes.
SHARES = {"emoji": (0.6, 0.15), "digits": (0.6, 0.15), "diabetes": (0.5, 0.2)}
EMOJI_CREDIT = (
    "Emoji by Google (Noto Emoji, Apache-2.0), Twitter and other contributors (Twemoji, CC BY 4.0) and Microsoft "
    "(Fluent Emoji, MIT), rendered at 32 x 32 pixels."
)
CHATTERBOT_CREDIT = (
    "Talk from the ChatterBot corpus by Gunther Cox and contributors (BSD 3-Clause), embedded by all-MiniLM-L6-v2 "
    "of sentence-transformers (Apache-2.0)."
)


def emoji(plan: Plan) -> Data:
    """Zero-shot recognition: the same emoji by three designers; training, validation and test share no emoji."""
    with np.load(Path(__file__).parent / "emoji.npz") as stored:
        images, emoji, names = (stored[key] for key in ("images", "emoji", "names"))
    parts = _parts("emoji", len(images))

    def split(classes: np.ndarray) -> Split:
        pixels = torch.from_numpy(images[classes]).flatten(0, 1).permute(0, 3, 1, 2)
        labels = torch.arange(len(classes)).repeat_interleave(images.shape[1])
        return Split(pixels.contiguous(memory_format=torch.channels_last).float() / 255, labels)

    train, valid, test = parts
    return Data(
        "emoji",
        "zero-shot",
        split(train),
        split(valid),
        split(test),
        test_names=tuple(f"{emoji[c]} {names[c]}" for c in test),
        credit=EMOJI_CREDIT,
        test_images=images[test].reshape(-1, *images.shape[2:]),
        augmented=True,
        raw="raw pixels",
    )


def digits(plan: Plan) -> Data:
    """Classification of scikit-learn's 1,797 handwritten digits of 8 x 8 pixels."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    parts = _parts("digits", len(labels))
    inputs = torch.from_numpy(pixels).float() / 16
    targets = torch.from_numpy(labels).long()
    train, valid, test = (Split(inputs[part], targets[part]) for part in parts)
    grey = (pixels[parts[2]].reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    return Data(
        "digits",
        "classification",
        train,
        valid,
        test,
        test_names=tuple(str(digit) for digit in range(10)),
        test_images=grey.repeat(3, axis=-1),
    )


def diabetes(plan: Plan) -> Data:
    """Regression: how far diabetes has gone a year later, of 442 patients; ``outliers`` spoils training targets."""
    from sklearn.datasets import load_diabetes

    measured, values = load_diabetes(return_X_y=True)
    parts = _parts("diabetes", len(values))
    inputs = torch.from_numpy(measured / measured[parts[0]].std(axis=0)).float()
    return regression("diabetes", inputs, np.asarray(values), parts, plan.outliers)


def chatterbot(plan: Plan) -> Data:
    """Finding the answer to a question, or what follows in a talk: 1,173 pairs, embedded by a frozen encoder."""
    from lossary.lab.data import pairs

    with np.load(Path(__file__).parent / "chatterbot.npz") as stored:
        called, embeddings, texts = str(stored["texts"]).split("\n"), stored["directions"], stored["pairs"].astype(int)
    data = pairs.split("chatterbot", lambda _: pairs.directions(embeddings[texts]), texts, called)
    return replace(data, credit=CHATTERBOT_CREDIT)


def _parts(name: str, count: int) -> list[np.ndarray]:
    """Indices of training, validation and test; always the same for a data set."""
    train, valid = (round(share * count) for share in SHARES[name])
    order = np.random.default_rng(SPLIT_SEED).permutation(count)
    return [np.sort(part) for part in np.split(order, [train, train + valid])]


LOADERS: Mapping[str, Callable[[Plan], Data]] = {
    "emoji": emoji,
    "digits": digits,
    "diabetes": diabetes,
    "chatterbot": chatterbot,
    "caravan": builtin_packages.caravan,
    "wage": builtin_packages.wage,
    "mvp": builtin_packages.mvp,
    "earth": earth,
}
