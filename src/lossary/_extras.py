"""How to install an extra, whether Lossary came from an index, a clone or a wheel."""

import json
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname


def install(extra: str) -> str:
    """The command that adds an extra to this installation."""
    try:
        origin = distribution("lossary").read_text("direct_url.json")  # pip's, where it was not an index (PEP 610)
    except PackageNotFoundError:
        origin = None
    return f"pip install {_wanted(extra, json.loads(origin) if origin else {})}"


def _wanted(extra: str, origin: dict[str, Any]) -> str:
    """What pip is to install.

    >>> _wanted("lab", {})
    '"lossary[lab]"'
    >>> _wanted("lab", {"url": "file:///clone", "dir_info": {}})
    '"lossary[lab] @ file:///clone"'
    >>> _wanted("lab", {"url": "file:///clone", "dir_info": {"editable": True}})
    '-e "/clone[lab]"'
    >>> _wanted("lab", {"url": "https://host/it", "vcs_info": {"vcs": "git", "commit_id": "a1"}})
    '"lossary[lab] @ git+https://host/it@a1"'
    """
    match origin:
        case {"url": url, "dir_info": {"editable": True}}:
            return f'-e "{url2pathname(urlsplit(url).path)}[{extra}]"'
        case {"url": url, "vcs_info": {"vcs": vcs, "commit_id": commit}}:
            return f'"lossary[{extra}] @ {vcs}+{url}@{commit}"'
        case {"url": url}:
            return f'"lossary[{extra}] @ {url}"'
        case _:
            return f'"lossary[{extra}]"'
