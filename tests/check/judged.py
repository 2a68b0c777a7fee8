"""Whether a disguised loss was named rightly."""

import math

from lossary.testing.identifying import Named


def judged(found: Named, names: tuple[str, ...]) -> str:
    """right: the first name is one of those that it may be, and so is its factor. none: it was not named."""
    if not found.found:
        return "none"
    for name in names:
        factor, _, plain = name.rpartition(" ")
        first = found.found[0]
        if first.loss.startswith(f"{plain}(") and math.isclose(first.factor, float(factor or 1), rel_tol=1e-5):
            return "right"
    return "wrong"
