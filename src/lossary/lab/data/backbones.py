"""Networks from other libraries, trained or frozen: for images (timm, torchvision) or texts (transformers).

Weights are the library's own, or a file's. They come without code: files hold only tensors.
"""

import hashlib
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn
from torch.nn import functional as F

from lossary.lab.data.contents import BadData, content, fingerprint
from lossary.lab.data.types import Data, Split, TensorSplit, there
from lossary.lab.run.options import WITHOUT_BACKBONE
from lossary.lab.run.plan import Plan

#: Requests randomly initialised weights.
NONE = "none"
#: Tokens read per text; the rest is ignored.
TOKENS = 128
#: Mean and standard deviation of the colours that networks were trained on, if a library does not specify them.
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Backboned(nn.Module):
    """A network from another library, whose features (N, D) a linear layer projects."""

    def __init__(self, make: Callable[[], nn.Module], example: Tensor, size: int) -> None:
        super().__init__()
        self.backbone = make()
        with torch.no_grad():
            features = self.backbone.eval()(example).shape[1]
        self.backbone.train()
        self.head = nn.Linear(features, size)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.backbone(inputs))


class OfImages(nn.Module):
    """Images in [0, 1], converted to the colours and size that the body expects."""

    mean: Tensor
    spread: Tensor

    def __init__(self, body: nn.Module, mean: tuple[float, ...], spread: tuple[float, ...], side: int = 0) -> None:
        super().__init__()
        self.body, self.side = body, side
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("spread", torch.tensor(spread)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        if self.side:
            images = F.interpolate(images, (self.side, self.side), mode="bilinear", antialias=True)
        return self.body((images - self.mean) / self.spread)


class OfTexts(nn.Module):
    """Tokens (N, L), padded with -1, to the mean of the body's outputs."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, tokens: Tensor) -> Tensor:
        there_ = tokens >= 0
        found = self.body(input_ids=tokens.clamp(min=0), attention_mask=there_.long()).last_hidden_state
        return (found * there_[..., None]).sum(dim=1) / there_.sum(dim=1, keepdim=True).clamp(min=1)


def applied(data: Data, plan: Plan) -> Data:
    """The data with the network that a plan names; if it is frozen, its features replace the inputs.

    Raises:
        BadData: if there is no such network or weights, or it does not accept such data.
    """
    library, _, name = plan.backbone.partition(":")
    if library not in ("timm", "torchvision", "transformers") or not name:
        raise BadData(f"backbone: wanted timm:NAME, torchvision:NAME or transformers:FOLDER; got {plan.backbone!r}")
    if data.task in WITHOUT_BACKBONE:
        raise BadData(f"backbone: wanted a task with one prediction per item; got {data.task}")
    if library == "transformers":
        data, make, weights = _of_texts(data, name, plan.checkpoint)
    else:
        data, make, weights = _of_images(data, library, name, plan.checkpoint)
    if weights:
        data = replace(data, fingerprint=fingerprint(data.fingerprint.encode(), weights))
    if plan.frozen:
        return _frozen(data, make())
    return replace(data, model=partial(Backboned, make, data.valid.inputs[:2].clone()))


def _frozen(data: Data, backbone: nn.Module) -> Data:
    """Features at a common scale: one learning rate then fits all data, and no cosine changes."""
    backbone.eval()

    def features(part: Split) -> Tensor:
        rows = torch.arange(len(part)).split(256)
        with torch.no_grad():
            return torch.cat([backbone(part.inputs[some]) for some in rows])

    parts = (data.train, data.valid, data.test)
    train, valid, test = map(features, parts)
    scale = train.square().mean().sqrt().clamp(min=1e-12)
    found = [
        TensorSplit(x / scale, part.targets, part.weights) for x, part in zip((train, valid, test), parts, strict=True)
    ]
    model = partial(nn.Linear, train.shape[1])
    changed = replace(data, train=found[0], valid=found[1], test=found[2], model=model)
    return replace(changed, augmented=False, raw="the frozen backbone's features")


# --- images ---


def _of_images(data: Data, library: str, name: str, checkpoint: str) -> tuple[Data, Callable[[], nn.Module], bytes]:
    if data.test_images is None or data.test.inputs.ndim != 4:
        raise BadData(f"backbone: wanted images for {library}; got inputs of shape {tuple(data.test.inputs.shape[1:])}")
    weights = content(Path(checkpoint)) if checkpoint not in ("", NONE) else b""
    make = partial({"timm": _timm, "torchvision": _torchvision}[library], name, checkpoint)
    make()  # reports problems before anything is written
    return data, make, weights


def _timm(name: str, checkpoint: str) -> nn.Module:
    timm = _library("timm")
    with _told(f"timm:{name}", pretrained=not checkpoint):
        body = timm.create_model(name, pretrained=not checkpoint, num_classes=0)
    about = getattr(body, "pretrained_cfg", None) or {}
    side = about["input_size"][-1] if about.get("fixed_input_size") else 0
    return OfImages(_loaded(body, checkpoint), about.get("mean") or MEAN, about.get("std") or SPREAD, side)


def _torchvision(name: str, checkpoint: str) -> nn.Module:
    models = _library("torchvision.models")
    with _told(f"torchvision:{name}", pretrained=not checkpoint):
        body = models.get_model(name, weights=None if checkpoint else "DEFAULT")
    last = [place for place, layer in body.named_modules() if isinstance(layer, nn.Linear)]
    if not last:
        raise BadData(f"backbone: wanted a network that ends in a linear layer; got torchvision:{name}")
    body.set_submodule(last[-1], nn.Identity())
    # Transformers accept only the image size they were built for.
    return OfImages(_loaded(body, checkpoint), MEAN, SPREAD, getattr(body, "image_size", 0))


def _loaded(body: nn.Module, checkpoint: str) -> nn.Module:
    """The body with the weights of a file, which must contain all of the body's tensors."""
    if checkpoint in ("", NONE):
        return body
    found = _weights(Path(checkpoint))
    try:
        missing = body.load_state_dict(found, strict=False).missing_keys
    except RuntimeError as error:
        raise BadData(f"{checkpoint}: wanted weights of this backbone; got different ones ({_line(error)})") from error
    if missing:
        raise BadData(
            f"{checkpoint}: wanted weights of this backbone; got none for {len(missing)} of its tensors, the first "
            f"{missing[0]}"
        )
    return body


def _weights(path: Path) -> dict[str, Tensor]:
    """Tensors by name, as training loops store them; no pickled code runs."""
    try:
        if path.suffix == ".safetensors":
            return load_safetensors(content(path))
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except BadData:
        raise
    except Exception as error:  # of many kinds
        raise BadData(
            f"{path}: wanted a file of tensors, written by safetensors or torch.save; got {_line(error)}"
        ) from error
    while isinstance(found, dict) and (
        inside := next((found[key] for key in ("state_dict", "model") if key in found), None)
    ):
        found = inside
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise BadData(f"{path}: wanted named tensors, as in a state_dict(); got something else")
    return {name.removeprefix("module."): value for name, value in found.items()}


# --- texts ---


def _of_texts(data: Data, folder: str, checkpoint: str) -> tuple[Data, Callable[[], nn.Module], bytes]:
    if data.texts is None:
        raise BadData("backbone: wanted a column of texts for transformers; got none")
    if checkpoint not in ("", NONE):
        raise BadData(
            f"checkpoint: wanted nothing or {NONE}, because a transformers folder has weights; got {checkpoint!r}"
        )
    if not there(folder) or not Path(folder, "config.json").is_file():
        raise BadData(
            f"backbone: wanted a folder written by save_pretrained (config.json, weights, tokenizer); "
            f"got {folder}; with network access, hf download NAME --local-dir FOLDER creates one"
        )
    transformers = _library("transformers")
    with _told(f"transformers:{folder}"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        whole = tokenizer(
            [text for part in data.texts for text in part], padding=True, truncation=True, max_length=TOKENS
        )
    tokens = torch.tensor(whole["input_ids"])
    tokens = tokens.where(torch.tensor(whole["attention_mask"]) > 0, -1)
    parts = tokens.split([len(part) for part in data.texts])
    train, valid, test = (
        TensorSplit(x, s.targets, s.weights) for x, s in zip(parts, (data.train, data.valid, data.test), strict=True)
    )
    make = partial(_transformers, folder, checkpoint)
    make()
    files = sorted(path for path in Path(folder).iterdir() if path.is_file())
    digests = b"".join(hashlib.sha256(path.read_bytes()).digest() for path in files)
    return replace(data, train=train, valid=valid, test=test), make, digests


def _transformers(folder: str, checkpoint: str) -> nn.Module:
    transformers = _library("transformers")
    with _told(f"transformers:{folder}"):
        if checkpoint == NONE:
            about = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
            return OfTexts(transformers.AutoModel.from_config(about))
        return OfTexts(transformers.AutoModel.from_pretrained(folder, local_files_only=True))


# --- what is not there ---


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except Exception as error:  # torchvision with a mismatched torch build can fail in any way
        package = name.partition(".")[0]
        raise BadData(f"backbone: {package} cannot be used here ({_line(error)}): pip install {package}") from error


@contextmanager
def _told(what: str, *, pretrained: bool = False) -> Any:
    """A library's error in one line, with advice if a missing network may be the reason."""
    try:
        yield
    except Exception as error:  # in the library's code
        others = (
            f"; --checkpoint FILE names weights that you have, --checkpoint {NONE} begins without" if pretrained else ""
        )
        raise BadData(f"backbone: {what} cannot be created here ({_line(error)}){others}") from error


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
