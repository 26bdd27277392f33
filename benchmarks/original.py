"""Trains as the original project did, for comparison with the recipe.

> python benchmarks/original.py --data_folder=/data/PolSESS \
      --output_folder=/tmp/original --number_of_epochs=10

Any option of train.py can follow. From the published project
traktorex/polsess_separation, its defaults and its Conv-TasNet:

* SpeechBrain's modules, with their constant EPS set to 1e-4 for the training and
  its test (the project does so for fp16)
* all variants in training, C among them
* whole items of 4 s, batches of 4, a step for each
* Adam with 1e-3, and a weight decay of 1e-4 on all parameters, clipping at 5
* the learning rate times 0.95 after two epochs without gain

Other than there: the size is that of the demo, the validation is on every variant
but C, and SI-SDR subtracts means. There it was selected on the test split.

Authors
 * The PolSESS recipe team 2026
"""

import os
import runpy
import sys
import tempfile

from common import CONV_TASNET, SEPARATION

import speechbrain.lobes.models.conv_tasnet as stock

EPS = 1e-4
CLASSES = {
    "!new:fast.convtasnet.MaskNet": "!new:speechbrain.lobes.models.conv_tasnet.MaskNet",
    "!name:optimization.parameter_groups.Adam": "!name:torch.optim.Adam",
}
FLAGS = (
    "--N=128 --kernel_size=32 --stride=16 --B=64 --H=128 --X=6 --R=2 "
    "--segment_seconds=4.0 --batch_size=4 --grad_accumulation_factor=1 "
    "--lr=0.001 --weight_decay=0.0001 --max_grad_norm=5.0 "
    "--variants=[SER,SR,ER,R,SE,S,E,C]"
).split()


def original_yaml():
    """The YAML of Conv-TasNet with the classes of the original project."""
    text = (SEPARATION / "hparams" / CONV_TASNET).read_text(encoding="utf-8")
    for ours, theirs in CLASSES.items():
        assert text.count(f"{ours} ") == 1, ours
        text = text.replace(ours, theirs)
    return text


def main():
    """Runs train.py."""
    stock.EPS = EPS
    os.chdir(SEPARATION)
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(original_yaml())
        file.flush()
        # Of an option that is given twice, the last one would count.
        given = {word.partition("=")[0] for word in sys.argv[1:]}
        flags = [f for f in FLAGS if f.partition("=")[0] not in given]
        sys.argv = ["train.py", file.name, *flags, *sys.argv[1:]]
        runpy.run_path("train.py", run_name="__main__")


if __name__ == "__main__":
    main()
