"""The wheel, built from a clean clone and installed in an environment of its own, once for all tests of a
run.
"""

import fcntl
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Wheel:
    """An installed wheel.

    Attributes:
        clone: The clone that it was built from.
        bin: Where its interpreter and its command are.
    """

    clone: Path
    bin: Path

    @property
    def python(self) -> str:
        return str(self.bin / "python")

    @property
    def command(self) -> str:
        return str(self.bin / "breathing-room")


def installed(folder: Path, extras: str) -> Wheel:
    """Build what is committed and install it with extras; what a folder has already is taken as it is, by any
    process.
    """
    folder.mkdir(exist_ok=True)
    wheel = Wheel(folder / "clone", folder / "environment" / "bin")
    done = folder / "done"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if done.exists():
            return wheel
        pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
        run("git", "clone", "--quiet", ROOT, wheel.clone)
        run(*pip, "wheel", "--no-deps", "--wheel-dir", folder, wheel.clone)
        (built,) = folder.glob("*.whl")
        # The environment has no package of ours, nor pip: the wheel is installed from outside.
        run(sys.executable, "-m", "venv", "--without-pip", wheel.bin.parent)
        run(*pip, "--python", wheel.python, "install", "--no-compile", f"{built}[{extras}]")
        done.touch()
    return wheel


def run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
