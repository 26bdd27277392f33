"""SpeechBrain's loggers of TensorBoard and Weights & Biases, over epochs.

Authors
 * The PolSESS recipe team 2026
"""

import io
import uuid
from importlib.util import find_spec
from pathlib import Path

import torch

# main_process_only would broadcast a result, so every process would have to
# log every clip; these loggers return at once on all but the main process.
from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.train_logger import TensorboardLogger, WandBLogger


class TensorboardBoard(TensorboardLogger):
    """TensorBoard, over epochs. It answers these defects of the parent:

    * The parent counts calls from 1 in every process, so that a resumed run
      draws over its beginning. Here the step is the epoch, and of an epoch
      that is repeated after a resume the later values count.
    * The parent makes its folder with the object. Here the first value makes
      it, so a refused configuration and a mere test leave none.
    * The parent's error without tensorboard does not say what to do.
    * The parent writes to disk every two minutes. Here every epoch is on disk
      once its statistics are logged.

    Tags are ``valid/SI-SDRi``, so that TensorBoard shows one group per stage.

    Arguments
    ---------
    save_dir : str
        Folder of the event files.

    Raises
    ------
    ImportError
        If tensorboard is not installed.
    """

    def __init__(self, save_dir):
        check_installed("tensorboard", "--tensorboard=null")
        self.save_dir = save_dir
        self.writer = None

    def log_stats(
        self,
        stats_meta,
        train_stats=None,
        valid_stats=None,
        test_stats=None,
        verbose=False,
    ):
        """Shows numbers, see Boards.log_stats."""
        if not if_main_process():
            return
        epoch = stats_meta["epoch"]
        # The epoch of a tested checkpoint is past: it must not hide the later.
        is_test = train_stats is None and valid_stats is None
        writer = self.open(purge_step=None if is_test else epoch)
        tagged = tag_stats(stats_meta, train_stats, valid_stats, test_stats)
        for tag, value in tagged.items():
            writer.add_scalar(tag, value, epoch)
        writer.flush()

    def log_audio(self, name, signal, sample_rate, epoch):
        """Shows a signal [time] between -1 and 1, numpy or torch."""
        if if_main_process():
            self.open(epoch).add_audio(name, signal, epoch, sample_rate)

    def log_figure(self, name, figure, epoch):
        """Shows a figure of matplotlib."""
        if if_main_process():
            self.open(epoch).add_figure(name, figure, epoch)

    def open(self, purge_step):
        """Returns the writer; a new one hides what is at purge_step and later."""
        if self.writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(self.save_dir, purge_step=purge_step)
        return self.writer


class WandbBoard(WandBLogger):
    """Weights & Biases, over epochs. It answers these defects of the parent:

    * The parent starts a run with the object. Here the first value starts it.
    * The parent hides why a run did not start: it calls the exception, which
      is a TypeError. Here the error passes.
    * The parent leaves the ID of a run to the user. Here it is kept in
      ``wandb_id.txt``, so that a resumed training continues its run.

    Clips have to be logged before the statistics of their epoch, which close
    it: Weights & Biases ignores, with a warning, what comes for a step that is
    past. Of a repeated epoch, therefore, the first values stay. What is logged
    offline (mode: offline, or WANDB_MODE=offline in the environment) can be
    uploaded with ``wandb sync``, which joins the parts of a resumed run; wandb
    writes it to disk every 15 seconds.

    Arguments
    ---------
    project : str
        Name of the project.
    save_dir : str
        Folder in which wandb makes its folder wandb.
    initializer : callable
        Returns a run; None for wandb.init, which is imported then.
    **settings
        More arguments of the initializer, for instance mode: offline.

    Raises
    ------
    ImportError
        If wandb is not installed.
    """

    def __init__(self, project, save_dir, initializer=None, **settings):
        check_installed("wandb", "--wandb=null")
        self.settings = {"project": project, "dir": save_dir, **settings}
        self.id_file = Path(save_dir, "wandb_id.txt")
        self.initializer = initializer
        self.run = None
        online = settings.get("mode", "online") == "online"
        if initializer is None and online and if_main_process():
            import wandb

            # A missing key is an error now, not after an epoch.
            wandb.login()

    def log_stats(
        self,
        stats_meta,
        train_stats=None,
        valid_stats=None,
        test_stats=None,
        verbose=False,
    ):
        """Shows numbers, see Boards.log_stats."""
        if not if_main_process():
            return
        tagged = tag_stats(stats_meta, train_stats, valid_stats, test_stats)
        if train_stats is None and valid_stats is None:
            # The epoch of a tested checkpoint is past.
            self.open().summary.update(tagged)
        else:
            self.open().log(tagged, step=stats_meta["epoch"], commit=True)

    def log_audio(self, name, signal, sample_rate, epoch):
        """Shows a signal [time] between -1 and 1, numpy or torch."""
        if if_main_process():
            import wandb

            signal = torch.as_tensor(signal).detach().cpu().float().numpy()
            audio = wandb.Audio(signal, sample_rate=sample_rate)
            self.open().log({name: audio}, step=epoch)

    def log_figure(self, name, figure, epoch):
        """Shows a figure of matplotlib."""
        if if_main_process():
            import wandb
            from PIL import Image

            # A picture: wandb takes figures of pyplot only.
            content = io.BytesIO()
            figure.savefig(content, format="png")
            image = wandb.Image(Image.open(content))
            self.open().log({name: image}, step=epoch)

    def open(self):
        """Returns the run, which the first call starts or continues."""
        if self.run is None:
            initializer = self.initializer
            if initializer is None:
                from wandb import init as initializer
            if not self.id_file.exists():
                self.id_file.parent.mkdir(parents=True, exist_ok=True)
                self.id_file.write_text(uuid.uuid4().hex[:8])
            self.run = initializer(
                id=self.id_file.read_text(), resume="allow", **self.settings
            )
        return self.run


def wandb_board(project, save_dir, **settings):
    """Returns a WandbBoard, or None without a project."""
    return WandbBoard(project, save_dir, **settings) if project else None


def tag_stats(stats_meta, train_stats, valid_stats, test_stats):
    """Names the statistics, without the epoch, which is their step.

    Arguments
    ---------
    stats_meta : dict
        What belongs to no stage.
    train_stats : dict
        Of training; None for none, as for the others.
    valid_stats : dict
        Of validation.
    test_stats : dict
        Of the test.

    Returns
    -------
    dict
        ``stage/name`` -> value.

    Example
    -------
    >>> tag_stats({"epoch": 3, "lr": 0.1}, {"loss": 2.0}, {"loss": 4.0}, None)
    {'lr': 0.1, 'train/loss': 2.0, 'valid/loss': 4.0}
    """
    tagged = {
        name: value for name, value in stats_meta.items() if name != "epoch"
    }
    for stage, stats in [
        ("train", train_stats),
        ("valid", valid_stats),
        ("test", test_stats),
    ]:
        for name, value in (stats or {}).items():
            tagged[f"{stage}/{name}"] = value
    return tagged


def check_installed(package, switch):
    """Raises an ImportError that says what to do if a package is missing."""
    if find_spec(package) is None:
        raise ImportError(
            f"{package} is not installed: pip install {package}, or do without "
            f"it by {switch}"
        )
