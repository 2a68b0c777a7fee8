"""Commands about the losses that the library has: what each is, its paper, what lectures say, exercises."""

import re
import sys
from pathlib import Path

from lossary.cli._end import fail


def list_losses() -> None:
    """List all losses, grouped by the data they take."""
    from rich.console import Console

    from lossary.glossary import overview

    Console().print(overview())


def show(name: str, *, plot: Path | None = None) -> None:
    """Show one loss: formula, arguments, defaults and their source, pitfalls, paper.

    Parameters
    ----------
    name
        The name of the function, of the Module or an alias; `arcface` finds arcface_loss. With another library's name
        before it, its preset: `monai.dice_ce`.
    plot
        Write a picture of the loss and its gradient to this file (.png or .svg).
    """
    from rich.console import Console

    from lossary.glossary import find, page

    if "." in name:
        if plot is not None:
            fail(f"plot: wanted a loss of Lossary; got a preset, {name}")
        Console().print(_preset(name), markup=False, highlight=False, soft_wrap=True)
        return
    try:
        loss = find(name)
    except LookupError as unknown:
        fail(unknown.args[0])
    if plot is not None:
        from lossary import catalogue
        from lossary.lab import curves

        try:
            curves.save(catalogue.find(loss.name), plot)
        except (LookupError, ValueError, OSError) as reason:
            fail(f"plot: {reason}")
    Console().print(page(loss))


def _preset(name: str) -> str:
    """What is known of `monai.dice_ce`, also written `lossary.presets.monai.dice_ce`."""
    import pydoc

    from lossary import presets

    library, _, preset = name.removeprefix("lossary.").removeprefix("presets.").partition(".")
    if library not in presets.__all__:
        fail(f"there are no presets of {library!r}; there are some of {', '.join(presets.__all__)}")
    try:
        made = getattr(getattr(presets, library), preset)
    except AttributeError as unknown:
        fail(str(unknown))
    told = pydoc.plain(pydoc.render_doc(made, "%s")).partition("\n\n")[2]  # below the line that says it is a function
    return re.sub(r":\w+:(`[^`]*`)|`(`[^`]*`)`", lambda name: name[1] or name[2], told)


def cite(name: str = "") -> None:
    """Print the paper of a loss as BibTeX; without a name, the papers of all losses.

    Parameters
    ----------
    name
        The name of the function, of the Module or an alias.
    """
    from lossary.glossary import citation, find, load

    try:
        losses = [find(name)] if name else load()
    except LookupError as unknown:
        fail(unknown.args[0])
    sys.stdout.write("\n\n".join(dict.fromkeys(map(citation, losses))) + "\n")


def gallery(*, only: str = "", fresh: bool = False, quick: bool = False, out: Path = Path("lossary-gallery")) -> None:
    """Write a page that computes what lectures say about losses: claims, numbers, questions, errata.

    Parameters
    ----------
    only
        The exhibits to compute, separated by commas, such as C18,P6.
    fresh
        Measure slow exhibits again instead of reading their stored records.
    quick
        Measure slow exhibits with one seed only: a first look.
    out
        The folder for index.html.
    """
    from rich.progress import track

    from lossary.gallery import page, registry

    try:
        exhibits = registry.chosen(only)
    except LookupError as unknown:
        fail(unknown.args[0])
    shown = [page.found(one, fresh=fresh, quick=quick) for one in track(exhibits, "computing", transient=True)]
    path = out / "index.html"
    try:
        page.write(path, [one for one in shown if one])
    except OSError as error:
        fail(f"out: cannot write {path}: {error.strerror or error}")
    sys.stdout.write(f"gallery: {path}\n")


def learn(name: str = "", *, out: Path = Path()) -> None:
    """Practise on losses to write and broken ones to fix: hands out a file, and grades it once it exists.

    Parameters
    ----------
    name
        The name of an exercise; without one, all are listed.
    out
        The folder for your files.
    """
    from lossary.gallery.learn import course, exercises

    if not name:
        sys.stdout.write(course.listed())
        return
    try:
        exercise = exercises.find(name)
        told, right = course.worked(exercise, out / f"{name.replace('-', '_')}.py")
    except (LookupError, OSError) as refused:
        fail(str(refused.args[0] if isinstance(refused, LookupError) else refused))
    sys.stdout.write(told)
    raise SystemExit(0 if right else 1)
