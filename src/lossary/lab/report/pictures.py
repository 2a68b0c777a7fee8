"""Pictures of test items: thumbnails as data URIs, and a layout of embeddings in two dimensions."""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

_SIDE = 48  # pixels: enough for an image shown at 20 to 40 CSS pixels


def data_uri(image: NDArray[np.uint8], side: int = _SIDE) -> str:
    """An (h, w), (h, w, 1) or (h, w, 3) image as a PNG in a URI, at most ``side`` pixels high and wide."""
    picture = Image.fromarray(image.squeeze())
    picture.thumbnail((side, side))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def layout(embeddings: NDArray[np.floating]) -> NDArray[np.float64]:
    """(n, 2): t-SNE of the embeddings' directions; PCA if there are few. Equal embeddings give an equal layout.

    One thread: sums over several threads come in a different order each time, and t-SNE turns that into another
    picture.
    """
    vectors = np.asarray(embeddings, np.float64)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    if len(vectors) < 20:
        return PCA(2, svd_solver="full").fit_transform(vectors)
    tsne = TSNE(2, perplexity=min(30, len(vectors) / 5), init="pca", random_state=0)
    with threadpool_limits(1):
        return tsne.fit_transform(vectors).astype(np.float64)
