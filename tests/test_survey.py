"""The survey: its list is sound, what is stored is of the list, a verdict returns, and its page says what is stored."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from survey import RESULTS, answers, asking, confirming, entries, kinds, page, stories
from survey.tales import TALES, focal

import lossary
from lossary.testing.forms import FORMS
from lossary.testing.meanings import MEANINGS

LISTED = {entry.key: entry for entry in entries.listed()}


def test_the_list_names_each_implementation_once_in_a_form_that_there_is() -> None:
    assert len(LISTED) == len(entries.listed()) >= 150
    forms = {(form.data, form.takes, form.input) for form in FORMS}
    for entry in LISTED.values():
        assert (entry.data, entry.takes, entry.input) in forms, entry.key
        assert bool(entry.commit) == bool(entry.repository), entry.key


def test_what_is_stored_is_of_the_list_and_is_no_code() -> None:
    for path in RESULTS.glob("*.json"):
        found = json.loads(path.read_text())
        assert path.stem in LISTED
        assert set(found.get("laws", ())) <= set(MEANINGS)
        assert ("laws" in found) != ("failed" in found)
        assert len(path.read_text()) < 12_000


@pytest.mark.parametrize("name", ["contrastive", "binary_cross_entropy"])
def test_a_listing_has_the_verdict_that_is_stored(name: str) -> None:
    entry = next(e for e in LISTED.values() if e.source == "lecture listing" and e.name == name)
    if not entry.path.exists():
        pytest.skip("it was not asked yet")
    found = asking.ask(entry, Path("nowhere"), names=False)
    assert not isinstance(found, str), found
    assert found["laws"] == json.loads(entry.path.read_text())["laws"]


def test_a_source_that_is_not_here_is_one_line() -> None:
    entry = next(e for e in LISTED.values() if e.repository)._replace(repository="nobody/nothing")
    assert asking.ask(entry, Path("nowhere")) == "Missing: nobody/nothing: no git directory nobody+nothing in nowhere"


def test_a_second_look_sees_what_is_there_and_nothing_else() -> None:
    def detached(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        p = logits.softmax(1).gather(1, labels[:, None])
        return (-((1 - p.detach()) ** 2) * p.log()).mean()

    form = {"takes": "input-label", "input": "logits", "data": "classes"}
    assert "the slope is" in (confirming.seen("gradient_is_true", detached, form, {}) or "")
    assert confirming.seen("gradient_is_true", torch.nn.CrossEntropyLoss(), form, {}) == ""
    sure = {"batch": "very sure"}
    assert confirming.seen("finite_at_placed_batches", detached, form, sure) == "the loss is inf in float32"
    assert confirming.seen("empty_batch_gives_zero", detached, form, {}) is None


def test_a_convention_is_no_mistake() -> None:
    entry = next(iter(LISTED.values()))._replace(meant="gradient_is_true: the paper's scale is a constant")
    found: dict[str, Any] = {"laws": {"gradient_is_true": "broken", "strides_do_not_matter": "holds"}, "told": {}}
    assert answers.Answer(entry, found).worst == "convention"
    assert answers.Answer(entry._replace(meant=""), found).worst == "wrong"
    assert answers.Answer(entry._replace(meant=""), found | {"again": {"gradient_is_true": ""}}).worst is None
    nan = {"gradient_is_true": "broken", "finite_at_placed_batches": "broken"}
    one = answers.Answer(
        entry._replace(meant=""), {"laws": nan, "told": {"gradient_is_true": {"found": "tensor(nan)"}}}
    )
    assert set(one.broken) == {"finite_at_placed_batches"}
    law = "finite_at_placed_batches"
    found = {"laws": {law: "broken"}, "told": {law: {"batch": "undecided"}}}
    assert answers.Answer(entry, found).worst == "wrong"
    assert answers.Answer(entry._replace(features=True), found).worst == "extreme"
    assert set(kinds.KINDS) >= {kinds.kind(law, {}) for law in MEANINGS}


def test_the_stories_formulas_are_the_papers() -> None:
    tale = TALES[0]
    value, gradient = stories.right(tale)
    logits = torch.tensor(tale.given[0], dtype=torch.float64, requires_grad=True)
    ours = lossary.focal_loss(logits, torch.tensor(tale.given[1]), gamma=2.0)
    ours.backward()
    assert tale.right is focal
    assert float(value) == pytest.approx(ours.item(), rel=1e-4)
    assert list(map(float, gradient)) == pytest.approx(logits.grad.flatten().tolist(), rel=1e-4)


def test_the_page_says_how_many() -> None:
    asked = answers.answers()
    told = page.page()
    assert f"We called {len(asked)} public implementations" in told
    assert f"{len(asked)} were called, {len(answers.uncalled())} could not be called" in told
    assert sum(answers.shares(asked).values()) == len(asked)
    assert all(entry.key in LISTED for entry in (answer.entry for answer in asked))
    assert all(key in LISTED for tale in TALES for key in tale.keys)
