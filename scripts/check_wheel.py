"""Build the wheel, install it alone into an empty environment of each Python at hand, and use it there.

``python scripts/check_wheel.py python3.11 python3.12``: a Python that is not there, or for which there is no torch, is
named and passed over; a wheel that does not work ends this with 1.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
SMOKE = ROOT / "scripts" / "smoke_test.py"


def main(pythons: list[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        pip(sys.executable, "wheel", "--no-deps", "--wheel-dir", str(place), str(ROOT))
        (wheel,) = place.glob("*.whl")
        print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.2f} MB", flush=True)
        return max(works(python, wheel, place / python) for python in pythons)


def works(python: str, wheel: Path, environment: Path) -> bool:
    """Whether that Python is at hand and the wheel fails with it."""
    if subprocess.run([python, "--version"], capture_output=True, check=False).returncode:
        print(f"{python}: not at hand, skipped", flush=True)
        return False
    subprocess.run([python, "-m", "venv", str(environment)], check=True)
    inside = str(environment / "bin" / "python")
    try:
        pip(inside, "install", "-c", str(ROOT / "constraints.txt"), str(wheel))
    except subprocess.CalledProcessError as failed:
        print(f"{python}: torch could not be installed, skipped: {failed.stderr.strip().splitlines()[-1]}", flush=True)
        return False
    done = subprocess.run([inside, "-W", "error", SMOKE], cwd=environment, capture_output=True, text=True, check=False)
    print(f"{python}: {done.stdout.strip() or done.stderr}", flush=True)
    shutil.rmtree(environment)
    return done.returncode != 0


def pip(python: str, *arguments: str) -> None:
    command = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True, capture_output=True, text=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
