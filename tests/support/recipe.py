"""Where the recipe's files are, and how the tests load its YAMLs."""

import re
import subprocess
import tempfile
from pathlib import Path

from hyperpyyaml import load_hyperpyyaml

ROOT = Path(__file__).parents[2]
SEPARATION = ROOT / "recipes/PolSESS/separation"
HPARAMS = SEPARATION / "hparams"
SAMPLES = ROOT / "tests/samples/PolSESS"


def committed(folder, pattern):
    """The files of a folder that git knows, and not what a user has beside them."""
    command = ["git", "ls-files", "-z", f":(glob){pattern}"]
    listed = subprocess.run(
        command, cwd=folder, capture_output=True, check=True
    )
    return [folder / name for name in listed.stdout.decode().split("\0")[:-1]]


def hparams_of(name="convtasnet.yaml", **overrides):
    """The loaded YAML with overrides; its data_folder exists."""
    with tempfile.TemporaryDirectory() as output_folder:
        overrides = {
            "data_folder": str(ROOT),
            "output_folder": output_folder,
            **overrides,
        }
        with open(HPARAMS / name, encoding="utf-8") as file:
            return load_hyperpyyaml(file, overrides)


def commands_of(path):
    """Shell commands of a README, continued lines joined, comments left out."""
    text = path.read_text(encoding="utf-8")
    blocks = re.findall(r"```bash\n(.*?)```", text, re.S)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line.split(" #")[0] for line in lines if not line.startswith("#")]
