"""Data sets: splits that leak nothing and never move, and the attribution that their licences ask for."""

from dataclasses import replace
from importlib import resources

import numpy as np
import pytest
import torch

from lossary.lab.data import Data, load
from lossary.lab.plan import Plan


@pytest.fixture(scope="module", params=["emoji", "digits", "diabetes"])
def data(request: pytest.FixtureRequest) -> Data:
    return load(Plan(data=request.param))


def test_no_item_is_in_two_parts(data: Data) -> None:
    rows = [{row.numpy().tobytes() for row in part.inputs.flatten(1)} for part in (data.train, data.valid, data.test)]
    assert sum(map(len, rows)) == len(set.union(*rows))


def test_the_same_data_each_time(data: Data) -> None:
    again = load(Plan(data=data.name, seeds=9, workers=1))
    for part in ("train", "valid", "test"):
        torch.testing.assert_close(getattr(again, part).inputs, getattr(data, part).inputs, rtol=0, atol=0)
        torch.testing.assert_close(getattr(again, part).targets, getattr(data, part).targets, rtol=0, atol=0)


def test_emoji_are_three_drawings_each_of_classes_that_no_other_part_has() -> None:
    data = load(Plan(data="emoji"))
    assert data.train.classes + data.valid.classes + data.test.classes == 1587
    for part in (data.train, data.valid, data.test):
        assert part.targets.bincount().tolist() == [3] * part.classes
        assert part.inputs.min() >= 0
        assert part.inputs.max() == 1
    assert len(data.test_names) == len(set(data.test_names)) == data.test.classes
    # The pictures that the report shows are the ones that were scored.
    shown = torch.from_numpy(data.test_images).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(shown, data.test.inputs)


def test_each_source_of_the_emoji_is_attributed_with_its_licence() -> None:
    folder = resources.files("lossary.lab.data")
    with np.load(str(folder / "emoji.npz")) as stored:
        designers = stored["designers"].tolist()
    text = (folder / "ATTRIBUTION.md").read_text()
    for designer, licence in zip(designers, ("Apache-2.0", "CC BY 4.0", "MIT"), strict=True):
        assert any(f"@iconify-json/{designer}" in line and licence in line for line in text.splitlines())


def test_outliers_spoil_the_asked_share_of_training_targets_only() -> None:
    plan = Plan(data="diabetes")
    clean, spoilt = load(plan), load(replace(plan, outliers=0.2))
    values = {
        name: [part.targets * d.scale + d.offset for part in (d.train, d.valid, d.test)]
        for name, d in (("clean", clean), ("spoilt", spoilt))
    }
    changed = [(a - b).abs() > 1 for a, b in zip(values["clean"], values["spoilt"], strict=True)]
    assert [int(c.sum()) for c in changed] == [round(0.2 * len(clean.train)), 0, 0]


def test_an_unknown_name_is_told_which_there_are() -> None:
    with pytest.raises(LookupError, match="no data set 'emojis'; there are emoji, digits, diabetes"):
        load(Plan(data="emojis"))
