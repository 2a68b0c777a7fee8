"""Lines of each room of the package, and the median length of a loss function's code.

``python scripts/count_rooms.py``; with a path it counts another ``src/lossary``, and of losses that are named
after it the lines that each took.
"""

import ast
import statistics
import sys
from collections import Counter
from pathlib import Path


def code_lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def loss_lengths(path: Path) -> list[int]:
    """Code lines of the public functions that have a Module beside them: signature and docstring not counted."""
    tree = ast.parse(path.read_text())
    wrapped = {
        node.value.args[0].id
        for part in tree.body
        if isinstance(part, ast.ClassDef)
        for node in part.body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func) == "staticmethod"
        if isinstance(node.value.args[0], ast.Name)
    }
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name in wrapped and n.body]
    return [
        f.body[-1].end_lineno - f.body[0].end_lineno
        for f in functions
        if f.body[-1].end_lineno and f.body[0].end_lineno
    ]


def lines_of(name: str, source: Path) -> tuple[int, int]:
    """Of a loss: lines of its function, Module and card in the source, and of its entry among the samples."""
    ours = theirs = 0
    for path in (source / "losses").rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name == name:
                ours += size(node) + len(node.decorator_list)
            elif isinstance(node, ast.ClassDef) and f"staticmethod({name})" in ast.unparse(node):
                ours += size(node)
            elif (
                isinstance(node, ast.Assign)
                and ast.unparse(node.targets[0]) == "CARDS"
                and isinstance(node.value, ast.Tuple)
            ):
                ours += sum(size(card) for card in node.value.elts if f"fn={name}," in ast.unparse(card))
    for path in (source.parent.parent / "tests" / "samples").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Dict):
                entries = zip(node.keys, node.values, strict=True)
                theirs += sum(
                    value.end_lineno - key.lineno + 1
                    for key, value in entries
                    if key and ast.unparse(key) == repr(name)
                )
    return ours, theirs


def size(node: ast.stmt | ast.expr) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def main() -> None:
    source = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent / "src" / "lossary")
    rooms: Counter[str] = Counter()
    files: Counter[str] = Counter()
    for path in source.rglob("*.py"):
        place = path.relative_to(source)
        room = (
            "/".join(place.parts[:2])
            if place.parts[0] in ("losses", "kernels") and len(place.parts) > 2
            else place.parts[0]
        )
        rooms[room] += code_lines(path)
        files[room] += 1
    print("| room | files | lines |\n| --- | --- | --- |")
    for room in sorted(rooms):
        print(f"| `{room}` | {files[room]} | {rooms[room]:,} |")
    print(f"| all | {files.total()} | {rooms.total():,} |")
    lengths = [n for path in source.rglob("*.py") for n in loss_lengths(path)]
    middle = statistics.median(lengths)
    for name in sys.argv[2:]:
        print("| {} | {} | {} |".format(name, *lines_of(name, source)))
    print(f"\nLoss functions: {len(lengths)}; code lines in the median {middle:g}, at most {max(lengths)}")


if __name__ == "__main__":
    main()
