"""The survey: public implementations of losses, each held to the laws, with what was found stored as facts."""

from pathlib import Path

HERE = Path(__file__).parent
#: A file an implementation.
RESULTS = HERE / "results"
#: Sources as they were unpacked; nothing of it is kept.
SOURCES = HERE / ".sources"
