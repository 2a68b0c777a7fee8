"""Losses as people write them are read as they are meant, and what is no loss is refused in one line."""

import pytest

from lossary.lab.run.entries import Entry, Term, read, split


def test_what_people_write() -> None:
    text = "cross_entropy, focal_loss(gamma=1), focal_loss(gamma=5), "
    text += "cross_entropy + 0.01*center_loss, mine=my/losses.py:MyLoss"
    entries = [read(part) for part in split(text)]
    assert [entry.label for entry in entries] == [
        "cross_entropy",
        "focal_loss(gamma=1)",
        "focal_loss(gamma=5)",
        "cross_entropy + 0.01*center_loss",
        "mine",
    ]
    assert entries[2].terms == (Term("focal_loss", options={"gamma": 5}),)
    assert entries[3].terms == (Term("cross_entropy"), Term("center_loss", 0.01))
    assert entries[4] == Entry("mine", (Term("MyLoss", file="my/losses.py"),))
    assert entries[4].files == ("my/losses.py",)


@pytest.mark.parametrize(
    "text",
    [
        "cross_entropy",
        "arcface=arcface_loss(scale=30.0, margin=0.3)",
        "0.123456789*ce + 1e+3*mse_loss + -2*l1_loss",
        "a b=dice_loss(weights=(1, 2), mode='x, y)')",
        "mine=C:\\work\\losses.py:MyLoss(gamma=2)",
    ],
)
def test_what_a_plan_keeps_is_read_again(text: str) -> None:
    entry = read(text)
    assert read(str(entry)) == entry


@pytest.mark.parametrize(
    "text",
    [
        "",
        "=",
        "x=",
        "=mse_loss",
        "mse_loss +",
        "two*mse_loss",
        "nan*mse_loss",
        "mse_loss(2)",
        "mse_loss(delta=open('x'))",
        "mse_loss(**{'a': 1})",
        "mse_loss(delta=1",
        "mse_loss(delta=1)(2)",
        "mse loss",
        "losses.txt:MyLoss",
        "losses.py:",
    ],
)
def test_what_is_no_loss_is_refused(text: str) -> None:
    with pytest.raises(LookupError, match=r"losses: wanted .*; got "):
        read(text)
