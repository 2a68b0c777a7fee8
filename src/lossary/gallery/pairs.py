"""Pictures of pairs, P24 and P25, which are ours: a Siamese network on digits, and enrolment on emoji."""

import sklearn.datasets
import torch
import torch.nn.functional as F

import lossary
from lossary.gallery.exhibit import Results, Source, exhibit
from lossary.gallery.training import trained
from lossary.lab.data.builtin import emoji


@exhibit(
    "P24",
    "A Siamese network",
    Source.BOOK,
    says="A Siamese network puts two inputs through the same weights; the contrastive loss reads the distance between "
    "what comes out.",
    answer="Twenty digits that the network was not trained on, two of each; it makes two numbers of an image. Under "
    "the contrastive loss with a margin of 1, a pair of one digit costs half the squared distance, and a pair"
    " of different digits half the square of what is missing to the margin.",
    expect=(
        "Two different digits come out at a distance of 2, and the margin is 1. What does the pair cost?",
        "Nothing, and it is not pushed: pairs of two digits only cost within the margin.",
    ),
    look_for="a pair of one digit that is farther apart than some pair of two, and where in the plane both lie.",
    seeds=1,
    recorded=True,
    hand="siamese",
    losses=("contrastive_loss",),
)
def p24(seed: int) -> Results:
    x, y = (torch.as_tensor(part) for part in sklearn.datasets.load_digits(return_X_y=True))
    model, _ = trained(lossary.ContrastiveLoss(), x[:900] / 16, y[:900], steps=600, batch=128)
    chosen = torch.cat([900 + (y[900:] == c).nonzero()[:2, 0] for c in range(10)])
    z = model(x[chosen] / 16).detach()
    first, second = z[:, None].expand(20, 20, 2).reshape(400, 2), z.repeat(20, 1)
    same, other = (
        lossary.contrastive_loss(first, second, torch.full((400,), one), reduction="none").reshape(20, 20)
        for one in (1, 0)
    )
    return {
        "images": x[chosen].int(),
        "labels": y[chosen],
        "features": z,
        "distances": torch.cdist(z, z),
        "same": same,
        "other": other,
    }


def with_images(results: Results) -> Results:
    """What P25 found, with the pictures and names of its emoji."""
    from lossary.lab.report.pictures import data_uri  # what else is in that file takes seconds to import

    images, _, names = emoji.stored()
    chosen = results["emoji"]
    pictures = [[data_uri(images[one, designer], 32) for one in chosen] for designer in (0, 1)]
    return {**results, "pictures": pictures, "names": [str(names[one]) for one in chosen], "credit": emoji.CREDIT}


@exhibit(
    "P25",
    "Enrolment and rejection",
    Source.PRIMER,
    says="With embeddings a new identity is added without training again, and an unknown one can be refused.",
    answer="No faces ship with Lossary: the identities are emoji, and the two pictures of one are by different "
    "designers. Multiple negatives ranking trained the embeddings on 800 other emoji. To enrol one is to keep its "
    "embedding. A picture is matched to the enrolled one with the highest cosine, if that is at or above the "
    "threshold, and refused otherwise. The curve (detection error tradeoff) is of 400 emoji: at each threshold, how "
    "many pairs of one emoji are refused, and how many of two are accepted.",
    expect=(
        "The threshold is raised. What gets better, and what gets worse?",
        "Fewer strangers are taken for somebody; more of the enrolled are refused.",
    ),
    look_for="what happens to a picture when its emoji is enrolled or dropped, and the threshold at which both errors "
    "are equal. Emoji are hard: it is about one in six.",
    seeds=1,
    recorded=True,
    hand="enrol",
    draw=with_images,
    losses=("multiple_negatives_ranking_loss",),
)
def p25(seed: int) -> Results:
    order, x = torch.randperm(1587), torch.as_tensor(emoji.stored()[0]).flatten(2) / 255
    known, new = order[:800], order[800:1200]
    loss = lambda z, _: lossary.multiple_negatives_ranking_loss(z[0::2], z[1::2])  # noqa: E731
    model, _ = trained(loss, x[known, :2], known, size=32, steps=500, batch=128, lr=0.003)
    z, at = F.normalize(model(x[new, :2]).detach(), dim=-1), torch.linspace(-0.2, 1, 61)
    alike = z[:, 0] @ z[:, 1].T  # enrolled pictures, by those that are shown
    others = alike[~torch.eye(400).bool()]
    return {
        "emoji": new[:16],
        "alike": alike[:16, :16],
        "thresholds": at,
        "refused": [(alike.diag() < one).double().mean() for one in at],
        "accepted": [(others >= one).double().mean() for one in at],
    }


EXHIBITS = (p24, p25)
