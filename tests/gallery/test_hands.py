"""Pictures that are moved by hand: a browser drags, slides, plays and paints, and reads the library's numbers."""

import itertools
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chromium
import pytest
import torch
from torch import Tensor, tensor

import lossary
from lossary.catalogue import CATALOGUE
from lossary.gallery import page as pages
from lossary.gallery import records
from lossary.gallery.findings import Finding
from lossary.gallery.registry import EXHIBITS, chosen

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Page]:
    if chromium.find() is None:
        pytest.skip("no Chromium on this machine")
    path = tmp_path_factory.mktemp("hands") / "index.html"
    pages.write(path, [found for one in EXHIBITS if one.hand and (found := pages.found(one))])
    with chromium.Page(path.as_uri(), width=1280, height=900) as page:
        page.wait_for("document.documentElement.dataset.hands")
        yield page
        assert page.messages == []


def shown(id: str) -> Finding:
    found = pages.found(chosen(id)[0])
    assert found is not None
    return found


def rows(view: chromium.Page, id: str) -> dict[str, str]:
    """What the tables of a picture say, by name."""
    cells = f"""[...document.querySelectorAll("#hand-{id} .readings tr")]
      .map((row) => [...row.children].map((cell) => cell.textContent))"""
    return {name: value for name, value, *_ in view.evaluate(cells)}


def number(text: str) -> float:
    return float(text.replace("−", "-").split()[0].rstrip("°"))


def place(view: chromium.Page, selector: str, x: float, y: float) -> tuple[float, float]:
    """Where a point of a picture, in its own units, is in the window, into which it is scrolled."""
    return tuple(
        view.evaluate(f"""(() => {{
          const area = document.querySelector("{selector}");
          area.scrollIntoView({{ block: "center", behavior: "instant" }});
          const at = new DOMPoint({x}, {y}).matrixTransform(area.getScreenCTM());
          return [at.x, at.y];
        }})()""")
    )


def slide(view: chromium.Page, selector: str, value: float) -> None:
    view.evaluate(f"""(() => {{
      const input = document.querySelector("{selector}");
      input.value = {value};
      input.dispatchEvent(new Event("input", {{ bubbles: true }}));
    }})()""")


def click(view: chromium.Page, id: str, name: str) -> None:
    view.evaluate(
        f"[...document.querySelectorAll('#hand-{id} button')].find(b => b.textContent.includes('{name}')).click()"
    )


def test_a_point_dragged_along_the_circle_shows_each_loss_and_its_gradient(view: chromium.Page) -> None:
    x, y = (100 + 58 * f(math.radians(10)) * sign for f, sign in ((math.cos, 1), (math.sin, -1)))
    start = place(view, "#hand-P18 svg", *(100 + 58 * part for part in (math.cos(2.618), -math.sin(2.618))))
    view.drag(start, place(view, "#hand-P18 svg", 100, 42), place(view, "#hand-P18 svg", x, y))
    angles, y_ = tensor([10.0, 70, 110, 200, 250, 320]).deg2rad(), tensor([0, 0, 0, 1, 1, 1])
    z = torch.stack([angles.cos(), angles.sin()], dim=1).requires_grad_()
    c = tensor([[math.cos(math.radians(a)), math.sin(math.radians(a))] for a in (90, 257)])
    losses = {
        "SupCon": lossary.supcon_loss(z, y_, temperature=0.5),
        "triplet": lossary.triplet_loss(z, y_, margin=0.5, mining="all", average="all"),
        "contrastive": lossary.contrastive_loss(z, y_),
        "ArcFace": lossary.arcface_loss(z, c, y_, scale=4.0),
        "center loss": lossary.center_loss(z, c, y_),
    }
    figures = view.evaluate("""[...document.querySelectorAll("#hand-P18 figure")].map((figure) => [
      figure.querySelector("h4").textContent, figure.querySelector("figcaption").textContent,
      [...figure.querySelectorAll("line")].map((line) => line.getAttribute("visibility") === "hidden" ? null :
        ["x1", "y1", "x2", "y2"].map((key) => Number(line.getAttribute(key))))])""")
    assert [name for name, *_ in figures] == list(losses)
    for name, note, arrows in figures:
        assert number(note.removeprefix("loss ")) == pytest.approx(losses[name].item(), rel=1e-3)
        (slope,) = torch.autograd.grad(losses[name], z)
        for arrow, pull in zip(arrows, -slope, strict=True):
            if arrow is not None:
                x1, y1, x2, y2 = arrow
                drawn = tensor([x2 - x1, y1 - y2])
                if drawn.norm() > 3:
                    assert torch.cosine_similarity(drawn, pull, dim=0) > 0.999


def test_a_painted_mask_costs_what_the_library_says(view: chromium.Page) -> None:
    click(view, "P19", "nothing")
    view.drag(*(place(view, "#hand-P19 svg", 32 * column + 16, 32 * 3 + 16) for column in range(6)))
    view.drag(*(place(view, "#hand-P19 svg", 32 * 9 + 16, 32 * row + 16) for row in (8, 9)))
    view.drag(place(view, "#hand-P19 svg", 16, 32 * 3 + 16))  # painted: wiped out again
    mask, truth = torch.zeros(10, 10), torch.zeros(10, 10)
    mask[3, 1:6] = mask[8:, 9] = 1
    truth[3:7, 2:8] = 1
    z = ((2 * mask - 1) * tensor(0.9).logit()).reshape(1, 1, 100)
    truth = truth.reshape(1, 1, 100)
    read = {name: number(value) for name, value in rows(view, "P19").items()}
    assert [read[name] for name in ("hits", "false alarms", "misses")] == [4, 3, 20]
    for name, loss in {
        "Dice": lossary.sigmoid_dice_loss(z, truth, smooth=0.0),
        "Tversky": lossary.sigmoid_tversky_loss(z, truth, smooth=0.0),
        "Jaccard": lossary.sigmoid_jaccard_loss(z, truth, smooth=0.0),
        "Lovász": lossary.sigmoid_lovasz_loss(z, truth, per_image=True),
        "cross-entropy": lossary.binary_cross_entropy_with_logits(z, truth),
    }.items():
        assert read[name] == pytest.approx(loss.item(), rel=1e-3), name


def test_a_shifted_mask_falls_off_the_edge(view: chromium.Page) -> None:
    click(view, "P19", "the truth")
    for _ in range(3):
        click(view, "P19", "→")
    assert [number(rows(view, "P19")[name]) for name in ("hits", "false alarms", "misses")] == [12, 8, 12]


def test_a_mask_is_painted_by_keys(view: chromium.Page) -> None:
    click(view, "P19", "nothing")
    view.evaluate("document.querySelector('#hand-P19 svg').focus()")
    before = rows(view, "P19")
    view.press(" ")
    view.press("ArrowRight")
    view.press(" ")
    after = rows(view, "P19")
    assert before["hits"] == before["false alarms"] == "0"
    assert number(after["hits"]) + number(after["false alarms"]) == 2


def test_an_item_dragged_to_the_top_is_ranked_by_the_library(view: chromium.Page) -> None:
    click(view, "P20", "worst first")
    view.drag(*(place(view, "#hand-P20 svg", 200, 36 + 54 * rank + 27) for rank in (5, 3, 1, 0)))  # the best one
    stars, scores = tensor([[3.0, 0, 0, 1, 2, 2]]), torch.linspace(2, -2, 6)[None]
    read = {name: number(value) for name, value in rows(view, "P20").items()}
    for name, loss in {
        "ListNet": lossary.listnet_loss(scores, stars),
        "RankNet": lossary.ranknet_loss(scores, stars),
        "LambdaLoss": lossary.lambda_loss(scores, stars),
        "ApproxNDCG": lossary.approx_ndcg_loss(scores, stars, temperature=1.0),
    }.items():
        assert read[name] == pytest.approx(loss.item(), rel=1e-3), name
    gain, discount = stars[0].exp2() - 1, (torch.arange(6) + 2.0).log2()
    ideal = (gain.sort(descending=True).values / discount).sum()
    assert read["NDCG"] == pytest.approx(((gain / discount).sum() / ideal).item(), rel=1e-3)


def lines_of(view: chromium.Page) -> dict[str, Tensor]:
    texts = {name: text for name, text in rows(view, "P21").items() if name != "the outlier"}
    parts = {name: re.fullmatch(r"(\S+) ([+−]) (\S+) x", text) for name, text in texts.items()}
    return {
        name: tensor([number(part[1]), number(part[3]) * (1 if part[2] == "+" else -1)])
        for name, part in parts.items()
        if part
    }


@pytest.mark.parametrize(("x", "y"), [(6.0, 20.0), (12.0, 20.0), (1.5, -2.0)])
def test_an_outlier_dragged_leaves_each_line_the_best_by_its_loss(view: chromium.Page, x: float, y: float) -> None:
    across, up = 28 + 382 * x / 12, 340 - 22 - 310 * (y + 4) / 24
    view.drag(place(view, "#hand-P21 svg", 200, 150), place(view, "#hand-P21 svg", across, up))
    assert rows(view, "P21")["the outlier"].replace("−", "-") == f"at {x:g}, {y:g}"
    points = torch.cat([shown("P21").results["points"].float(), tensor([[x, y]])])
    X, Y = torch.stack([torch.ones(13), points[:, 0]], dim=1), points[:, 1]
    pairs = tensor(list(itertools.combinations(range(13), 2)))
    through = torch.linalg.solve(
        X[pairs[points[pairs, 0].diff().abs()[:, 0] > 0]], Y[pairs[points[pairs, 0].diff().abs()[:, 0] > 0]]
    )
    losses: dict[str, Any] = {
        "squared": lossary.mse_loss,
        "absolute": lossary.l1_loss,
        "Huber": lossary.huber_loss,
        "log-cosh": lossary.log_cosh_loss,
        "90 % quantile": lossary.QuantileLoss(0.9),
    }
    fits = lines_of(view)
    assert list(fits) == list(losses)
    for name, loss in losses.items():
        value = loss(X @ fits[name], Y)
        # Three digits are shown; no line through two of the points, and none a little aside, is better.
        others = [
            *through,
            *(fits[name] + tensor(aside) for aside in ((0.2, 0.0), (-0.2, 0.0), (0.0, 0.02), (0.0, -0.02))),
        ]
        assert value <= min(loss(X @ other, Y) for other in others) + 0.004, name


def test_the_map_tells_what_becomes_what(view: chromium.Page) -> None:
    results = shown("P22").results
    assert all(results["arcs"].values())
    named = {name for names in results["kinds"].values() for name in names}
    assert named <= {card.name for card in CATALOGUE}
    assert {name for arc in results["arcs"] for name in re.findall(r"\w+_\w+", arc)} == named
    view.evaluate("""[...document.querySelectorAll("#hand-P22 .name")]
      .find((one) => one.textContent.includes("tversky")).dispatchEvent(new Event("click"))""")
    told = view.evaluate("[...document.querySelectorAll('#hand-P22 .becomes li')].map(one => one.textContent)")
    assert told == ["tversky_loss is dice_loss: α = β = ½", "tversky_loss is jaccard_loss: α = β = 1"]
    assert view.evaluate("document.querySelectorAll('#hand-P22 .arc.chosen').length") == 2


def test_the_pipeline_steps_as_torch_does(view: chromium.Page) -> None:
    view.evaluate("document.querySelector('#hand-P23 input[value=Huber]').click()")
    view.evaluate("document.querySelector('#hand-P23 input[value=momentum]').click()")
    click(view, "P23", "from the start")
    x, y, w = tensor([-1.0, 0.5, 1, 2]), tensor([-1.0, 0.5, 1, 5]), torch.full((1,), -1.0, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1, momentum=0.8)
    for _ in range(3):
        optimizer.zero_grad()
        lossary.huber_loss(w * x, y).backward()
        optimizer.step()
        click(view, "P23", "one step")
    texts = view.evaluate("[...document.querySelectorAll('#hand-P23 .boxes span')].map(one => one.textContent)")
    assert number(texts[1].removeprefix("ŷ = ")) == pytest.approx(w.item(), rel=1e-2)
    assert number(texts[2].removeprefix("Huber: ")) == pytest.approx(lossary.huber_loss(w * x, y).item(), rel=1e-3)


def test_the_space_is_turned_as_a_rotation_turns_it(view: chromium.Page) -> None:
    results = shown("P4").results
    assert results["line right"] < 50
    assert results["plane right"] == 70
    slide(view, "#hand-P4 .dial input", 60)
    slide(view, "#hand-P4 .dial:nth-of-type(2) input", 90)
    dots = view.evaluate("""[...document.querySelectorAll("#hand-P4 circle")]
      .map((dot) => ["cx", "cy"].map((key) => Number(dot.getAttribute(key))))""")
    turn = tensor(60.0).deg2rad()
    matrix = torch.stack([torch.stack([turn.cos(), -turn.sin()]), torch.stack([turn.sin(), turn.cos()])])
    above = results["points"][:, :2].float() @ matrix  # (across, away)
    torch.testing.assert_close(
        tensor(dots), torch.stack([200 + 105 * above[:, 0], 185 - 105 * above[:, 1]], 1), atol=0.01, rtol=0
    )


def test_a_training_is_played_to_what_was_recorded(view: chromium.Page) -> None:
    click(view, "P9", "play")
    view.wait_for("""document.querySelector("#hand-P9 .dial input").value === "20" &&
      document.querySelector("#hand-P9 button").textContent.includes("play")""")
    record = records.read(chosen("P9")[0])[0]
    seen = view.evaluate("""[...document.querySelectorAll("#hand-P9 figure")].map((figure) => [
      figure.querySelector("h4").textContent, [...figure.querySelectorAll("circle")]
        .map((circle) => circle.getAttribute("transform").match(/-?[\\d.]+/g).map(Number))])""")
    assert [name for name, _ in seen] == list(record["panels"])
    for name, points in seen:
        expected = tensor(record["panels"][name][-1]) * tensor([1.0, -1.0]) * 110 / 500 + 110
        torch.testing.assert_close(tensor(points), expected, atol=0.01, rtol=0)


def test_the_hardest_triplet_costs_what_the_library_says(view: chromium.Page) -> None:
    slide(view, "#hand-P12 .dial input", 6)
    click(view, "P12", "another anchor")
    record = records.read(chosen("P12")[0])[0]
    z = tensor(record["panels"]["triplet loss"][6]) * record["units"][6]
    anchor, far, near = map(int, view.evaluate("document.getElementById('hand-P12').dataset.triple").split(","))
    hardest = lossary.triplet_loss(z, tensor(record["labels"]), margin=1.0, average="all", reduction="none")
    one = lossary.triplet_loss(
        z, None, margin=1.0, triplets=(tensor([anchor]), tensor([far]), tensor([near])), reduction="none"
    )
    read = rows(view, "P12")
    assert number(read["loss at a margin of 1"]) == pytest.approx(one.item(), rel=2e-3)
    assert one.item() == pytest.approx(hardest[anchor].item(), rel=1e-5)
    assert number(read["anchor to its farthest positive"]) == pytest.approx(
        (z[anchor] - z[far]).norm().item(), rel=1e-3
    )


def test_whatever_is_moved_has_a_name_and_is_reached_by_keys(view: chromium.Page) -> None:
    unnamed = view.evaluate("""[...document.querySelectorAll(".hand input, .hand button, .hand [tabindex]")]
      .filter((one) => one.tabIndex < 0 || !(one.getAttribute("aria-label") || one.textContent.trim() ||
        one.closest("label")?.textContent.trim())).map((one) => one.outerHTML)""")
    assert unnamed == []


def test_nothing_is_lost_when_a_picture_is_saved(view: chromium.Page, tmp_path: Path) -> None:
    view.evaluate("""HTMLAnchorElement.prototype.click = function () { window.saved = [this.download, this.href]; }""")
    click(view, "P21", "SVG")
    view.wait_for("window.saved")
    name, address = view.evaluate("window.saved")
    assert name == "lossary-P21.svg"
    assert address.count("%3Cline") == view.evaluate("document.querySelectorAll('#hand-P21 svg line').length")


def test_two_digits_cost_what_the_library_says(view: chromium.Page) -> None:
    record = records.read(chosen("P24")[0])[0]
    for row, index in enumerate((3, 14)):
        view.evaluate(f"document.querySelectorAll('#hand-P24 .thumbs')[{row}].children[{index}].click()")
    z = tensor(record["features"])
    read = {name: number(value) for name, value in rows(view, "P24").items()}
    assert read["distance"] == pytest.approx((z[3] - z[14]).norm().item(), rel=1e-3)
    for name, same in {"if they are one digit": 1, "if they are two": 0}.items():
        loss = lossary.contrastive_loss(z[3:4], z[14:15], tensor([same]))
        assert read[name] == pytest.approx(loss.item(), rel=1e-3, abs=1e-6), name


def test_who_is_enrolled_is_recognised_and_who_is_not_is_refused(view: chromium.Page) -> None:
    record = records.read(chosen("P25")[0])[0]
    alike = tensor(record["alike"])
    buttons = "[...document.querySelectorAll('#hand-P25 .thumbs button')]"
    view.evaluate(f"{buttons}.slice(0, 3).forEach(one => one.click())")
    enrolled = tensor(view.evaluate(f"{buttons}.map(one => one.getAttribute('aria-pressed') === 'true')"))
    assert 5 < enrolled.sum() < 16
    for threshold in (0.3, 0.6):
        slide(view, "#hand-P25 .dial input", threshold)
        best, who = alike.masked_fill(~enrolled[:, None], -2).max(0)
        taken, own = best >= threshold, who == torch.arange(16)
        expected = {
            "enrolled, and recognised": enrolled & taken & own,
            "enrolled, taken for another": enrolled & taken & ~own,
            "enrolled, refused": enrolled & ~taken,
            "not enrolled, refused": ~enrolled & ~taken,
            "not enrolled, taken for one": ~enrolled & taken,
        }
        assert {name: number(value) for name, value in rows(view, "P25").items()} == {
            name: one.sum() for name, one in expected.items()
        }
        at = (tensor(record["thresholds"]) - threshold).abs().argmin()
        dot = view.evaluate(
            "['cx', 'cy'].map(k => Number(document.querySelector('#hand-P25 .handle').getAttribute(k)))"
        )
        assert dot == pytest.approx(
            [44 + 366 * record["accepted"][at] / 0.5, 230 - 202 * record["refused"][at] / 0.5], abs=0.05
        )
