"""Middle lines: the paper's algorithm position by position with fifty digits, what is cut, and what lies outside."""

from itertools import product
from typing import Any

import mpmath
import pytest
import torch
from torch import Tensor

from lossary.losses.masks.lines import cl_dice_loss, sigmoid_cl_dice_loss

mpmath.mp.dps = 50

Grid = dict[tuple[int, int], Any]


def around(x: Grid, place: tuple[int, int], square: bool) -> list[Any]:
    steps = [(i, j) for i, j in product((-1, 0, 1), repeat=2) if square or i == 0 or j == 0]
    places = [(place[0] + i, place[1] + j) for i, j in steps]
    return [x[p] for p in places if p in x]


def erode(x: Grid) -> Grid:
    return {p: min(around(x, p, square=False)) for p in x}


def top(x: Grid) -> Grid:
    """What an opening removes."""
    eroded = erode(x)
    return {p: max(x[p] - max(around(eroded, p, square=True)), 0) for p in x}


def middle(x: Grid, iterations: int) -> Grid:
    found = top(x)
    for _ in range(iterations):
        x = erode(x)
        more = top(x)
        found = {p: found[p] + max(more[p] - found[p] * more[p], 0) for p in x}
    return found


def exact(z: Tensor, y: Tensor, iterations: int) -> Any:
    places = [(i, j) for i, j in product(*map(range, y.shape))]
    p = {place: 1 / (1 + mpmath.exp(-mpmath.mpf(z[place].item()))) for place in places}
    g = {place: mpmath.mpf(y[place].item()) for place in places}
    shares = [
        (sum(line[i] * other[i] for i in places) + 1) / (sum(line.values()) + 1)
        for line, other in ((middle(p, iterations), g), (middle(g, iterations), p))
    ]
    return 1 - 2 * shares[0] * shares[1] / sum(shares)


@pytest.mark.parametrize("iterations", [1, 3])
def test_it_is_the_paper_s_algorithm_with_fifty_digits(iterations: int) -> None:
    g = torch.Generator().manual_seed(iterations)
    z, y = 2 * torch.randn(2, 1, 6, 7, generator=g, dtype=torch.float64), torch.zeros(2, 1, 6, 7, dtype=torch.int64)
    y[0, 0, 1:4, 1:6], y[1, 0, :, 3] = 1, 1  # a bar and a line
    found = sigmoid_cl_dice_loss(z, y, iterations=iterations, reduction="none")[:, 0].tolist()
    for place, loss in enumerate(found):
        assert loss == pytest.approx(float(exact(z[place, 0], y[place, 0], iterations)), rel=1e-13)


def test_two_classes_are_two_regions() -> None:
    z = torch.randn(2, 2, 5, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    y = torch.randint(2, (2, 5, 6), generator=torch.Generator().manual_seed(3))
    scores = z[:, 1:] - z[:, :1]  # a softmax of two is a sigmoid of their difference
    both = torch.cat([-scores, scores], 1)
    regions = torch.stack([1 - y, y], 1)
    torch.testing.assert_close(cl_dice_loss(z, y), sigmoid_cl_dice_loss(both, regions))


def sure(region: Tensor) -> Tensor:
    return 60.0 * (2 * region - 1.0)


def test_a_cut_costs_as_much_in_a_thick_line_as_in_a_thin_one() -> None:
    thin, thick = torch.zeros(1, 1, 11, 21, dtype=torch.int64), torch.zeros(1, 1, 11, 21, dtype=torch.int64)
    thin[..., 5, :], thick[..., 3:8, :] = 1, 1
    prices: list[float] = []
    for line in (thin, thick):
        assert sigmoid_cl_dice_loss(sure(line), line).item() == pytest.approx(0, abs=1e-6)
        cut = line.clone()
        cut[..., 9:12] = 0
        prices.append(sigmoid_cl_dice_loss(sure(cut), line).item())
    assert prices[0] > 0.05
    assert prices[1] == pytest.approx(prices[0], rel=0.5), "Dice has the same price for a fifth of it"


def test_images_and_volumes_of_one_row_are_that_row() -> None:
    z = torch.randn(1, 2, 9, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    y = torch.randint(2, (1, 2, 9), generator=torch.Generator().manual_seed(5))
    row = sigmoid_cl_dice_loss(z, y)
    torch.testing.assert_close(sigmoid_cl_dice_loss(z[:, :, None], y[:, :, None]), row)
    torch.testing.assert_close(sigmoid_cl_dice_loss(z[:, :, None, None], y[:, :, None, None]), row)
    with pytest.raises(ValueError, match="input: wanted"):
        sigmoid_cl_dice_loss(z[..., 0], y[..., 0])


def test_nothing_predicted_where_nothing_is_true_is_right() -> None:
    empty = torch.zeros(1, 1, 4, 4, dtype=torch.int64)
    assert sigmoid_cl_dice_loss(torch.full((1, 1, 4, 4), -200.0), empty, smooth=0.0) == 0
