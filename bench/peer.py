"""Finds, or installs, the Python that has mergekit."""

import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"
VENV = HERE / ".venv"


def add_argument(parser):
    """The option that all scripts here share."""
    parser.add_argument("--python", help="a Python that has requirements.txt [default: bench/.venv, made if missing]")


def enter(python=None):
    """Restarts this script under the Python that has the peer, unless it runs there already; makes it if need be."""
    chosen = Path(python) if python else installed()
    # A venv's python is a link to the system's: compare the places, not what they link to.
    if Path(sys.executable).absolute() != chosen.absolute():
        os.execv(chosen, [str(chosen), *sys.argv])


def installed():
    """The virtual environment's Python; installs requirements.txt where that has not happened yet."""
    python, mark = VENV / "bin" / "python", VENV / "requirements.installed"
    wanted = REQUIREMENTS.read_text()
    if not mark.exists() or mark.read_text() != wanted:
        print(f"installing {REQUIREMENTS.name} into {VENV} …", file=sys.stderr)
        venv.create(VENV, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", REQUIREMENTS], check=True)
        mark.write_text(wanted)
    return python


def mergekit_command(config, out):
    """mergekit's command line for a merge, under this Python."""
    return [Path(sys.executable).parent / "mergekit-yaml", config, out]
