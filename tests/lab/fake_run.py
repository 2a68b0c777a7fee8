"""A run folder made of seeded random numbers, for tests of what reads one: no training, no torch."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from lossary.lab.run.folder import save_plan
from lossary.lab.run.plan import Resolved
from lossary.lab.run.record import Point, Record, Role, Trial
from lossary.lab.tasks import TaskName
from lossary.lab.tasks.scoring import evaluate, primary

#: Names that break a page which forgets that names are data.
HOSTILE_LOSS = """arc "m" <b>'x' & co"""
HOSTILE_CLASS = "<script>alert(1)</script>"
#: Names that every object of JavaScript has already.
INHERITED = ("constructor", "toString", "valueOf", "hasOwnProperty", "__proto__")

LOSSES: dict[TaskName, dict[str, float]] = {  # the name a loss is entered under, and how good it is here
    "zero-shot": {
        "supcon_loss": 1.0,
        HOSTILE_LOSS: 0.8,
        "cosface_loss": 0.75,
        "triplet_loss": 0.5,
        "cross_entropy": 0.3,
    },
    "classification": {
        "cross_entropy": 1.0,
        "focal_loss": 0.7,
        HOSTILE_LOSS: 0.4,
        "constructor": 0.35,
        "__proto__": 0.3,
    },
    "binary": {"sigmoid_focal_loss": 1.0, "hinge_loss": 0.6, HOSTILE_LOSS: 0.3},
    "multi-label": {"sigmoid_focal_loss": 1.0, "hinge_loss": 0.6, HOSTILE_LOSS: 0.3},
    "regression": {"l1_loss": 1.0, "huber_loss": 0.9, HOSTILE_LOSS: 0.5},
    "ranking": {"listnet_loss": 1.0, "ranknet_loss": 0.8, HOSTILE_LOSS: 0.4},
    "segmentation": {"lovasz_softmax_loss": 1.0, "cross_entropy": 0.6, HOSTILE_LOSS: 0.4},
    "retrieval": {"clip_loss": 1.0, "siglip_loss": 0.9, HOSTILE_LOSS: 0.5},
}
DATA: dict[TaskName, str] = {
    "zero-shot": "emoji",
    "classification": "digits",
    "binary": "caravan",
    "multi-label": "keywords",
    "regression": "diabetes",
    "ranking": "mvp",
    "segmentation": "earth",
    "retrieval": "chatterbot",
}
BASELINES: dict[TaskName, tuple[str, ...]] = {
    "zero-shot": ("raw pixels", "untrained network"),
    "classification": ("commonest class",),
    "binary": ("base rate",),
    "multi-label": ("base rates",),
    "regression": ("mean", "median"),
    "ranking": ("best single input",),
    "segmentation": ("commonest class",),
    "retrieval": ("frozen embeddings", "TF-IDF of characters"),
}
ENVIRONMENT = {
    "lossary": "0.1.0",
    "python": "3.11.2",
    "torch": "2.13.0",
    "machine": "x86_64, 2 cores",
    "commit": "0" * 8,
}


def build(folder: Path, task: TaskName, *, seeds: int = 3, classes: int = 24) -> list[Trial]:
    """Write a run folder; returns the tuning trials, which live in Optuna's storage, not in files of ours."""
    rng = np.random.default_rng(0)
    plan = Resolved(
        data=DATA[task], losses=tuple(_entry(loss) for loss in LOSSES[task]), seeds=(seeds, seeds), out=str(folder)
    )
    folder.mkdir(parents=True, exist_ok=True)
    save_plan(plan, folder)
    (folder / "arrays").mkdir(exist_ok=True)
    test = _test_split(task, classes, rng)
    np.savez_compressed(folder / "arrays" / "test.npz", **test)  # pyright: ignore[reportArgumentType]
    for loss, quality in LOSSES[task].items():
        for seed in range(seeds):
            _record(folder, task, test, loss, "tuned", quality, seed, rng).save(folder)
        _record(folder, task, test, loss, "default", quality - 0.15, 0, rng).save(folder)
    for name in BASELINES[task]:
        _record(folder, task, test, name, "baseline", 0.1, 0, rng).save(folder)
    return [_trial(task, loss, n, rng) for loss in LOSSES[task] for n in range(8)]


def _entry(loss: str) -> str:
    return f"{loss}={_card(loss)}" if loss != _card(loss) else loss


def _card(loss: str) -> str:
    return "arcface_loss" if loss in (HOSTILE_LOSS, *INHERITED) else loss


def _test_split(task: TaskName, classes: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    if task == "regression":
        return {"targets": rng.normal(150, 70, 120)}
    if task == "ranking":
        targets = rng.integers(0, 4, (40, 12)).astype(float)
        targets[:, 0] = 5
        targets[::2, 9:] = np.nan
        names = np.array([f"{HOSTILE_CLASS} {n}" for n in range(40)])
        return {"targets": targets, "names": names, "candidates": np.tile(names[:12], (40, 1))}
    if task == "retrieval":
        texts = np.array([HOSTILE_CLASS if n % 2 else f"what is {n}?" for n in range(120)])
        return {"targets": np.column_stack([np.arange(0, 120, 2), np.arange(1, 121, 2), np.arange(60)]), "names": texts}
    if task == "binary":
        return {"labels": np.repeat([0, 1], [200, 30]), "names": np.array(["no", "yes"])}
    names = np.array([HOSTILE_CLASS, *(f"class {i}" for i in range(1, classes))])
    if task == "multi-label":
        images = np.stack([_drawing(item, rng) for item in range(90)])
        return {"labels": rng.random((90, len(names))) < 0.2, "names": names, "images": images}
    if task == "classification":
        names = np.array([HOSTILE_CLASS, "1", *INHERITED, "7", "8", "9"])
    if task == "segmentation":
        return _maps(np.array([HOSTILE_CLASS, "land", "constructor"]), rng)
    labels = np.repeat(np.arange(len(names)), 3 if task == "zero-shot" else 12)
    images = np.stack([_drawing(label, rng) for label in labels.tolist()])
    return {"labels": labels, "names": names, "images": images}


def _maps(names: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Images of a half of either of two classes, a square of the third, and a stripe without a label."""
    labels = np.zeros((16, 32, 32), int)
    labels[:, 16:] = 1
    labels[:, 20:26, 6:12] = 2
    labels[:, :, 30:] = -100
    images = (labels[..., None].clip(0) * 90 + rng.integers(0, 60, (*labels.shape, 3))).astype(np.uint8)
    return {"labels": labels, "names": names, "images": images}


def _drawing(label: int, rng: np.random.Generator) -> np.ndarray:
    """A coloured polygon whose corners and hue tell the class."""
    image = Image.new("RGB", (32, 32), "white")
    hue = f"hsl({label * 47 % 360}, {rng.integers(50, 90)}%, {rng.integers(40, 65)}%)"
    angle, radius = float(rng.uniform(-20, 20)), float(rng.uniform(11, 15))
    ImageDraw.Draw(image).regular_polygon((16, 16, radius), 3 + label % 6, rotation=angle, fill=hue)
    return np.asarray(image)


def _record(
    folder: Path,
    task: TaskName,
    test: dict[str, np.ndarray],
    loss: str,
    role: Role,
    quality: float,
    seed: int,
    rng: np.random.Generator,
) -> Record:
    outputs = _outputs(task, test, quality, rng)
    truth = "targets" if "targets" in test else "labels"
    scores, units, independent = evaluate(task, **outputs, **{truth: test[truth]})
    trained = role != "baseline"
    record = Record(
        loss=loss,
        card=_card(loss) if trained else "",
        role=role,
        seed=seed,
        params={"lr": 3e-3 * (1 + seed), "margin": 0.3, "mining": "</script>"} if trained else {},
        metrics=scores,
        units=units,
        independent=independent,
        curve=_curve(task, scores, rng) if trained else [],
        steps=1200 if trained else 0,
        seconds=25.0 + seed if trained else 0.4,
        seconds_per_step=0.012 + 0.01 * quality if trained else 0.0,
        still_rising=loss == HOSTILE_LOSS,
        environment=ENVIRONMENT,
        facts=_facts(loss, seed) if trained else {},
    )
    arrays = record.path(folder).with_suffix(".npz").name
    np.savez_compressed(folder / "arrays" / arrays, **outputs)  # pyright: ignore[reportArgumentType]
    return replace(record, arrays=arrays)


def _facts(loss: str, seed: int) -> dict[str, float]:
    ordinary = {"loss": 0.3 + seed, "cosine": 0.1}
    if loss != HOSTILE_LOSS:
        return ordinary
    # The runs do not agree on the second class; two of three name the first one.
    of_classes = {"class_of_most_gradient": 0.0, "class_of_least_gradient": float(1 + seed // 2)}
    return ordinary | {"cosine": 0.99, "class_gradient_ratio": 30.0 + seed} | of_classes


def _outputs(
    task: TaskName, test: dict[str, np.ndarray], quality: float, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    if task == "regression":
        spread = 70 * (1.3 - quality)
        return {"predictions": test["targets"] * 0.6 + 60 + rng.normal(0, spread, len(test["targets"]))}
    if task == "ranking":
        return {"scores": np.nan_to_num(quality * test["targets"]) + rng.normal(0, 1, test["targets"].shape)}
    if task == "retrieval":
        query = np.random.default_rng(1).normal(size=(len(test["targets"]), 16))
        document = quality * query + rng.normal(size=query.shape)
        return {"embeddings": np.stack([query, document], axis=1).astype(np.float32)}
    labels = test["labels"]
    if task == "segmentation":
        guesses = rng.integers(0, len(test["names"]), labels.shape)
        return {"predictions": np.where(rng.random(labels.shape) < 0.5 + 0.45 * quality, labels.clip(0), guesses)}
    if task == "binary":
        return {"probabilities": 1 / (1 + np.exp(2 - 3 * quality * labels - rng.normal(0, 1, len(labels))))}
    if task == "multi-label":
        return {"probabilities": 1 / (1 + np.exp(2 - 3 * quality * labels - rng.normal(0, 1, labels.shape)))}
    if task == "classification":
        logits = rng.normal(0, 1, (len(labels), len(test["names"])))
        logits[np.arange(len(labels)), labels] += 2.5 * quality
        odds = np.exp(logits * 1.4)
        return {"probabilities": odds / odds.sum(1, keepdims=True)}
    centres = np.random.default_rng(1).normal(size=(len(test["names"]), 16))
    return {"embeddings": (quality * 1.2 * centres[labels] + rng.normal(size=(len(labels), 16))).astype(np.float32)}


def _curve(task: TaskName, scores: dict[str, float], rng: np.random.Generator) -> list[Point]:
    metric = primary(task)
    end, sign = scores[metric.name], 1 if metric.higher_is_better else -1
    points = range(1, int(rng.integers(16, 26)))
    return [
        Point(
            step=50 * i,
            epoch=i,
            train_loss=float(4 * np.exp(-i / 8)),
            valid=float(end - sign * abs(end) * 0.6 * np.exp(-i / 5) + rng.normal(0, 0.01 * abs(end))),
        )
        for i in points
    ]


def _trial(task: TaskName, loss: str, number: int, rng: np.random.Generator) -> Trial:
    lr = float(10 ** rng.uniform(-4, -1.5))
    params = {"lr": lr, "mining": ["hard", "semi-hard"][number % 2]}
    if loss != "cross_entropy":
        params["margin"] = float(rng.uniform(0.05, 0.6))
    base = 0.6 - 0.1 * (np.log10(lr) + 2.7) ** 2 + rng.normal(0, 0.02)
    valid = float(base) if task != "regression" else float(80 - 40 * base)
    failed = number == 7
    return Trial(loss, number, params, None if failed else valid, "FAIL" if failed else "COMPLETE", 20.0)
