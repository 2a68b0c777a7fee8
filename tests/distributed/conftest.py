"""Where torch's groups lack what ranks exchange by, there is nothing to test."""

from pathlib import Path

import pytest
from torch.distributed import ProcessGroup


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not hasattr(ProcessGroup, "get_group_store"):
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="ranks want torch 2.9"))
