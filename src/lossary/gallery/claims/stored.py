"""Claims that are answered from what the repository has stored: C40 and C44; in a checkout, by `make claims`."""

import csv
import gzip
import json
from dataclasses import replace
from pathlib import Path

from lossary.gallery.exhibit import Results, Source, exhibit
from lossary.lab.data.builtin import BUILTIN
from lossary.lab.run.record import Record
from lossary.lab.stats.judge import judge
from lossary.lab.tasks.scoring import primary


@exhibit(
    "C40",
    "The most common contrastive loss",
    Source.RECITATION,
    says="The triplet loss is the most common contrastive loss.",
    answer="A loss does not say how often it is used. What can be counted is which of some forty libraries have it, by "
    "the list that the repository keeps (scripts/union): as many have a triplet loss as have NT-Xent under that "
    "name, and twice as many have InfoNCE, the same formula, under one of its names. The code runs in a checkout "
    "of the repository.",
    seeds=1,
    recorded=True,
    losses=("triplet_loss", "contrastive_loss", "nt_xent_loss"),
)
def c40(_: int) -> Results:
    rows = csv.DictReader(Path("scripts/union/rows.tsv").read_text(encoding="utf-8").splitlines(), delimiter="\t")
    have = {row["loss"].partition(" ")[0]: set(filter(None, row["peers"].split(", "))) for row in rows}
    triplet = have["triplet_loss"] | have["triplet_margin_loss"] | have["triplet_margin_with_distance"]
    pair, nt_xent = have["contrastive_loss"] | have["online_contrastive_loss"], have["nt_xent_loss"]
    info_nce = nt_xent | have["info_nce_loss"] | have["multiple_negatives_ranking_loss"] | have["clip_loss"]
    return {
        "libraries with a triplet loss": len(triplet),
        "with the contrastive loss of pairs": len(pair),
        "with NT-Xent under that name": len(nt_xent),
        "with InfoNCE under any of its names": len(info_nce),
        "more have triplet than pairs": len(triplet) > len(pair),
        "more have triplet than InfoNCE under any name": len(triplet) > len(info_nce),
    }


@exhibit(
    "C44",
    "Tailored to the task and the data",
    Source.PRIMER,
    says="A good loss should be tailored to tasks and data sets.",
    answer="The board says two things. For none of the losses, each tuned in two trials, can the judge show that the "
    "tuned settings are better than the defaults. On two hundred tables, at default settings, some losses are "
    "better than the usual one by the metric that they are made for: weights for a rare class by the balanced "
    "accuracy, Huber's by the absolute error. So the choice of a loss is shown to matter; to show it of tuning "
    "takes more trials or more data. The code runs in a checkout of the repository.",
    seeds=1,
    recorded=True,
    losses=("balanced_bce_loss", "huber_loss", "cross_entropy"),
)
def c44(_: int) -> Results:
    answers = json.loads(Path("board/results/answers.json").read_text(encoding="utf-8"))["questions"]
    paths, changed, said = sorted(Path("board/results/tasks").glob("*.json.gz")), 0, []
    for path in paths:
        runs = [Record(**run | {"curve": []}) for run in json.loads(gzip.decompress(path.read_bytes()))]
        for one in (run for run in runs if run.role == "default"):
            fixed = replace(one, role="baseline", card="", loss="default")  # one run, taken as it is
            tuned = [run for run in runs if (run.role, run.loss) == ("tuned", one.loss)]
            metric, level = primary(BUILTIN[path.name.split(".")[0]].task), 0.05 / 8 / len(paths)  # 8 losses on each
            said.append(judge([fixed, *tuned], metric, level=level, asleep={}).of(one.loss, "default").better)
            changed += tuned[0].params != one.params
    return {
        "data sets of the board, and losses that were tuned on them": [len(paths), len(said)],
        "of these, where tuning took other settings": changed,
        "where tuned is shown to be better": sum(better not in ("", "default") for better in said),
        "questions on two hundred tables, of a loss against the usual one": len(answers),
        "of these, answered by better": sum(one["answer"] == "better" for one in answers),
        "tuned settings are shown to be better somewhere": any(better not in ("", "default") for better in said),
        "another loss than the usual one is shown to be better somewhere": any(
            one["answer"] == "better" for one in answers
        ),
    }


EXHIBITS = (c40, c44)
