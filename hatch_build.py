"""The README and the project's addresses, as a package index needs them: no relative links.

Only a build in GitHub's workflow knows where the repository is; it says so in its environment. Any other build leaves
the README as it is and names no address.
"""

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

#: An image's mark, its or a link's text, and where it leads, if that is inside the repository.
RELATIVE = re.compile(r"(!?)(\[[^\]]*\])\((?!https?://|mailto:|#)([^)\s]+)\)")
PAGES = {"Documentation": "blob/{tag}/docs/index.md", "Changelog": "blob/{tag}/CHANGELOG.md", "Issues": "issues"}


class Hook(MetadataHookInterface):
    def update(self, metadata: dict[str, Any]) -> None:
        text = (Path(self.root) / "README.md").read_text()
        if {"GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_REF_NAME"} <= os.environ.keys():
            repository = f"{os.environ['GITHUB_SERVER_URL']}/{os.environ['GITHUB_REPOSITORY']}"
            tag = os.environ["GITHUB_REF_NAME"]
            text = absolute(text, repository, tag)
            pages = {name: f"{repository}/{page.format(tag=tag)}" for name, page in PAGES.items()}
            metadata["urls"] = {"Repository": repository, **pages}
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


def absolute(text: str, repository: str, tag: str) -> str:
    """Markdown whose links and images lead to a tag of the repository."""

    def to(found: re.Match[str]) -> str:
        image, name, path = found.groups()
        return f"{image}{name}({repository}/{'raw' if image else 'blob'}/{tag}/{path})"

    return RELATIVE.sub(to, text)
