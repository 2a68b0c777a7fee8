"""`lossary cite`: the papers of the losses as BibTeX."""

import re

import pytest

from lossary import glossary
from lossary.catalogue import CATALOGUE
from lossary.cli import main
from lossary.glossary import Summary, citation, references


def test_every_loss_can_be_cited() -> None:
    for card in CATALOGUE:
        entry = citation(Summary.of(card))
        assert re.match(r"@(article|book|incollection|inproceedings|misc)\{\w+,\n", entry), card.name
        assert entry.count("{") == entry.count("}"), card.name
        for number in re.findall(r"^arXiv:(\d{4}\.\d{4,5})", card.paper):
            assert f"eprint = {{{number}}}" in entry, card.name


def test_references_agree_with_the_lines_above_them() -> None:
    known = references()
    assert len(known) > 50
    keys = [re.findall(r"^@\w+\{(\w+),", entry)[0] for entry in known.values()]
    assert len(keys) == len(set(keys))
    for paper, entry in known.items():
        fields = dict(re.findall(r"^  (\w+) = \{(.*)\},?$", entry, flags=re.MULTILINE))
        assert {"author", "title", "year"} <= set(fields), paper
        assert set(re.findall(r"arXiv:([\d.]+)", paper)) <= {fields.get("eprint")}, paper
        years = re.findall(r"\b[12]\d{3}\b", paper.partition("arXiv:")[0])
        assert not years or fields["year"] in years, paper


def test_a_loss_is_cited_by_any_of_its_names(capsys: pytest.CaptureFixture[str]) -> None:
    main(["cite", "CosFaceLoss"])
    told = capsys.readouterr().out
    assert told.startswith("@inproceedings{wang2018cosface,\n")
    assert "{CosFace}: Large Margin Cosine Loss" in told
    assert told.endswith("}\n")


def test_all_are_cited_once(capsys: pytest.CaptureFixture[str]) -> None:
    main(["cite"])
    keys = re.findall(r"^@\w+\{(\w+),$", capsys.readouterr().out, flags=re.MULTILINE)
    assert len(keys) == len(set(keys))
    assert {"deng2019", "lin2017", "milletari2016"} <= set(keys)


def test_a_loss_without_an_entry_is_cited_as_far_as_its_card_goes() -> None:
    card = next(card for card in CATALOGUE if card.name == "mean_bias_error")
    assert "note = {standard in forecasting}" in citation(Summary.of(card))


def test_an_unknown_loss_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["cite", "arcfase"])
    assert "arcface" in capsys.readouterr().err


def test_a_loss_names_its_exhibits() -> None:
    card = next(card for card in CATALOGUE if card.name == "arcface_loss")
    assert Summary.of(card, ["C25", "P10"]).facts["gallery"] == "lossary gallery --only C25,P10"
    assert "gallery" not in Summary.of(card).facts
    assert glossary.find("arcface").paper == card.paper
