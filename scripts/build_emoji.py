"""Render the emoji data set: the same emoji as drawn by several designers, small, as one npz.

    python scripts/build_emoji.py [OUT.npz]

Needs npm (to fetch the drawings) and the Python packages numpy, pillow and resvg-py. The versions below are pinned,
so that the file comes out the same everywhere. The drawings keep their licences: see ATTRIBUTION.md beside the npz.
"""

import io
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import resvg_py
from PIL import Image

#: npm package -> version. Left out on purpose: OpenMoji, whose licence is share-alike.
SETS = {
    "@iconify-json/noto": "1.2.9",
    "@iconify-json/twemoji": "1.2.5",
    "@iconify-json/fluent-emoji-flat": "1.2.6",
}
SIZE = 32
SKIN_TONES = {f"{code:x}" for code in range(0x1F3FB, 0x1F400)}
OUT = Path(__file__).parents[1] / "src/lossary/lab/data/builtin/emoji.npz"

Icons = dict[str, Any]  # an icon set as its package writes it


def fetch(package: str, version: str, folder: Path) -> tuple[Icons, dict[str, str]]:
    """The icons of a set, and which icon draws which code points."""
    command = ["npm", "pack", "--silent", f"{package}@{version}"]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    with tarfile.open(folder / done.stdout.split()[-1]) as tar:
        tar.extractall(folder / version, filter="data")
    icons, chars = (json.loads((folder / version / f"package/{part}.json").read_text()) for part in ("icons", "chars"))
    return icons, chars


def render(icons: Icons, name: str) -> np.ndarray:
    """One drawing on white, (SIZE, SIZE, 3) uint8."""
    alias = icons.get("aliases", {}).get(name, {})
    icon = {**icons, **icons["icons"][alias.get("parent", name)], **alias}
    width, height = icon["width"], icon["height"]
    flip = f' transform="translate({width}) scale(-1 1)"' if icon.get("hFlip") else ""
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{SIZE}" height="{SIZE}" viewBox="0 0 {width} {height}"><g{flip}>{icon["body"]}</g></svg>'
    )
    png = resvg_py.svg_to_bytes(svg_string=svg, width=SIZE, height=SIZE, skip_system_fonts=True)
    drawing = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
    return np.asarray(Image.alpha_composite(Image.new("RGBA", drawing.size, "white"), drawing).convert("RGB"))


def unique(images: np.ndarray) -> np.ndarray:
    """Which classes have no drawing that is, to the pixel, another class's by the same designer."""
    keep = np.ones(len(images), bool)
    for designer in range(images.shape[1]):
        flat = images[:, designer].reshape(len(images), -1)
        _, group, count = np.unique(flat, axis=0, return_inverse=True, return_counts=True)
        keep &= count[group.ravel()] == 1
    return keep


def main(out: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sets = [fetch(package, version, Path(folder)) for package, version in SETS.items()]
    shared = set.intersection(*(set(chars) for _, chars in sets))
    codes = sorted(code for code in shared if not SKIN_TONES & set(code.split("-")))
    images = np.stack([[render(icons, chars[code]) for icons, chars in sets] for code in codes])
    keep = unique(images)
    codes = [code for code, kept in zip(codes, keep, strict=True) if kept]
    np.savez_compressed(
        out,
        images=images[keep],  # (class, designer, height, width, RGB)
        emoji=np.array(["".join(chr(int(point, 16)) for point in code.split("-")) for code in codes]),
        names=np.array([sets[0][1][code].replace("-", " ") for code in codes]),
        designers=np.array([package.split("/")[1] for package in SETS]),
    )
    print(f"{keep.sum()} classes ({(~keep).sum()} doubles left out), {out.stat().st_size / 2**20:.1f} MiB: {out}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else OUT)
