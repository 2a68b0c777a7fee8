"""The command line: parse, call, print. Torch is imported inside the commands, so that `lossary --help` is instant."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from lossary.cli._end import fail
from lossary.cli.known import cite, gallery, learn, list_losses, show
from lossary.cli.own import check, identify
from lossary.cli.runs import compare, export, inspect, report
from lossary.lab.run.options import Files, Network, Training

if TYPE_CHECKING:
    from cyclopts import App


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line; exits with status 2 if it cannot be run as requested."""
    try:
        from cyclopts import CycloptsError

        run = app()
    except ModuleNotFoundError as missing:
        _lacks(missing)
    try:
        run(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        fail(" ".join(str(error).split()))
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("lossary"):
            raise
        _lacks(missing)


def _lacks(missing: ModuleNotFoundError) -> NoReturn:
    from lossary._extras import install

    fail(f"the command line needs the lab: {install('lab')} ({missing.name} is missing)")


def app() -> "App":
    from cyclopts import App, Parameter

    from lossary import __version__

    # Not in their own file, which is read without cyclopts.
    Parameter(name="*", group="Your data")(Files)
    Parameter(name="*", group="Training")(Training)
    Parameter(name="*", group="The network")(Network)

    commands = App(
        name="lossary", version=__version__, help="Every PyTorch loss done right, and which one your data wants."
    )
    commands.command(compare)
    commands.command(inspect)
    commands.command(report)
    commands.command(export)
    commands.command(list_losses, name="list")
    commands.command(show)
    commands.command(cite)
    commands.command(gallery)
    commands.command(learn)
    commands.command(check)
    commands.command(identify)
    return commands
