"""Trains as the original project did, for comparison with the recipe.

> python benchmarks/original.py --data_folder=/data/PolSESS \
      --output_folder=/tmp/original --number_of_epochs=10

Any option of train.py can follow. What is repeated of traktorex/polsess_separation
(commit d935a25), and the file there that says so:

* SpeechBrain's modules (models/conv_tasnet.py); their constant EPS is 1e-4 in this
  process, so in the test too, and on a CPU too (utils/common.py)
* one of all variants of a mixture, C among them, drawn evenly for each item, and
  whole items, which are 4 s long (datasets/polsess_dataset.py)
* negative SI-SDR as the loss; Adam, whose weight decay is on all parameters; a
  step that is not finite is left out (training/trainer.py)
* batches of 4 with a step each, learning rate 1e-3, weight decay 1e-4, gradients
  clipped at a norm of 5, the rate times 0.95 in the third epoch in a row without
  gain (config.py)
* fp16 on a GPU, fp32 in validation and on a CPU (training/trainer.py)

These are its defaults; its experiments/convtasnet/baseline.yaml has other values.
Not repeated: the size is that of the demo. SI-SDR subtracts means here; the mean
of the demo's speech is 42 dB below it. There, each validation mixture has one
variant, drawn once, and the mean SI-SDR, C included, selects the model and anneals
the rate; here it is the mean SI-SDRi over all variants but C.

Authors
 * The PolSESS recipe team 2026
"""

import runpy
import sys
import tempfile

import torch
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
    "--lr=0.001 --weight_decay=0.0001 --ema_decay=0.0 --max_grad_norm=5.0 "
    "--variants=[SER,SR,ER,R,SE,S,E,C] "
    f"--precision={'fp16' if torch.cuda.is_available() else 'fp32'}"
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
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(original_yaml())
        file.flush()
        # Of an option that is given twice, the last one would count.
        given = {word.partition("=")[0] for word in sys.argv[1:]}
        flags = [f for f in FLAGS if f.partition("=")[0] not in given]
        script = str(SEPARATION / "train.py")
        sys.argv = [script, file.name, *flags, *sys.argv[1:]]
        runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
