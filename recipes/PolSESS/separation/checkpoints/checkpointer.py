"""Checkpoints that are complete or absent.

Authors
 * The PolSESS recipe team 2026
"""

import os
import re
import shutil
import time
from importlib.metadata import version
from pathlib import Path

from packaging.version import Version
from runs.folder import cannot_be_saved, cannot_be_written, fsync_path

from checkpoints.checksums import (
    check_weights,
    find_problem,
    has_intact_meta,
    plain_meta,
    write_checksums,
)
from speechbrain.utils.checkpoints import (
    CKPT_PREFIX,
    Checkpoint,
    Checkpointer,
    ckpt_recency,
)
from speechbrain.utils.distributed import (
    ddp_barrier,
    if_main_process,
    run_on_main,
)
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

HIDDEN = "."  # prefix of a checkpoint that is being written or deleted
BROKEN = "BROKEN"  # prefix of a checkpoint that cannot be trusted
UNSAFE_SWITCH = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
SAFE_SINCE = {"speechbrain": "1.1.2", "torch": "2.6"}  # versions


class SafeCheckpointer(Checkpointer):
    """SpeechBrain's Checkpointer, made safe against kills and full disks.

    * A checkpoint is written into a hidden folder, synced to disk, and renamed
      once all ranks have written their part. The parent writes the file that
      marks a checkpoint as one first, so a kill leaves half a checkpoint.
    * A checkpoint holds the checksums of its files. One that does not match
      them is named, renamed to ``BROKEN+...``, and the one before it is taken.
      If none can be trusted, the run stops and does not start from scratch.
    * Values of the meta become plain numbers, because the parent cannot read
      numpy values back. A value that is not finite is left out, so that its
      checkpoint is never the best.
    * Weights that are not finite are not saved.
    * A folder is hidden before its files are deleted.
    * The last two checkpoints are never deleted, so that a run goes on when the
      disk has damaged one; nor are the best ``keep_best``, 1 unless it is set.
    * The list of rules for deletion is new for each call. The parent appends to
      a default argument.
    * Times of checkpoints only grow, so a clock that goes back loses nothing.

    Raises ValueError when the folder cannot be made, or when the environment
    lets torch run code that a checkpoint holds.

    Arguments
    ---------
    checkpoints_dir : str
        Folder of the checkpoints; made if necessary.
    recoverables : dict
        Name -> object to save.
    **options : dict
        See the parent.
    """

    keep_best = 1

    def __init__(self, checkpoints_dir, recoverables=None, **options):
        if os.environ.get(UNSAFE_SWITCH, "0").lower() in (
            "1",
            "y",
            "yes",
            "true",
        ):
            raise ValueError(
                f"the environment variable {UNSAFE_SWITCH} lets checkpoints "
                "run code; unset it"
            )
        for package, oldest in SAFE_SINCE.items():
            if Version(version(package)) < Version(oldest):
                raise ValueError(
                    f"{package}: expected {oldest} or newer, found "
                    f"{version(package)}; older ones run code that a checkpoint "
                    f"holds: pip install '{package}>={oldest}'"
                )
        try:
            super().__init__(checkpoints_dir, recoverables, **options)
        except OSError as error:  # the folder cannot be made
            message = cannot_be_written(checkpoints_dir, error)
            raise ValueError(message) from error

    def save_checkpoint(self, meta={}, end_of_epoch=True, **options):
        """Saves a checkpoint, completely or not at all.

        Raises ValueError when weights are not finite, OSError when it cannot
        be written. Earlier checkpoints stay as they were.

        Arguments
        ---------
        meta : dict
            Numbers and texts to find it by.
        end_of_epoch : bool
            True after an epoch, False within one.
        **options : dict
            See the parent.

        Returns
        -------
        Checkpoint
            None on all ranks but the first.
        """
        check_weights(self.recoverables)
        try:
            saved = super().save_checkpoint(meta, end_of_epoch, **options)
            ddp_barrier()
            if if_main_process():
                saved = _publish(saved)
        except BaseException as error:
            if if_main_process():
                self._remove_leftovers()
            # Torch raises a RuntimeError for a full disk.
            of_torch = re.search(
                "StreamWriter|inline_container|iostream", str(error)
            )
            if isinstance(error, OSError) or of_torch:
                message = cannot_be_saved(self.checkpoints_dir, error)
                raise OSError(message) from error
            raise
        ddp_barrier()
        return saved

    def save_and_keep_only(self, importance_keys=None, **options):
        """Saves a checkpoint and deletes others, see the parent."""
        super().save_and_keep_only(
            importance_keys=list(importance_keys or []), **options
        )

    def delete_checkpoints(
        self,
        *,
        num_to_keep=1,
        min_keys=None,
        max_keys=None,
        importance_keys=(ckpt_recency,),
        ckpt_predicate=None,
        **options,
    ):
        """Deletes checkpoints but the last two and the best, see the parent."""
        n_best = max(num_to_keep, self.keep_best)
        keys = [{"min_key": key} for key in min_keys or []]
        keys += [{"max_key": key} for key in max_keys or []]
        keys += [{"importance_key": key} for key in importance_keys]
        kept = set(self.find_checkpoints(max_num_checkpoints=2))
        unwanted = set()
        for key in keys:
            found = self.find_checkpoints(ckpt_predicate=ckpt_predicate, **key)
            number = num_to_keep if "importance_key" in key else n_best
            kept.update(found[:number])
            unwanted.update(found)
        ddp_barrier()
        if if_main_process():
            for checkpoint in unwanted - kept:
                checkpoint.path.rename(_hidden(checkpoint.path))
            self._remove_leftovers()
        ddp_barrier()

    def recover_if_possible(self, importance_key=None, max_key=None, **options):
        """Loads the newest or best checkpoint out of those that are intact.

        Raises ValueError when there are checkpoints, but none is intact, or
        none has the key.

        Arguments
        ---------
        importance_key : callable
            See the parent.
        max_key : str
            See the parent.
        **options : dict
            See the parent.

        Returns
        -------
        Checkpoint
            None if there is none.
        """
        run_on_main(self.set_aside_broken)
        found = super().recover_if_possible(importance_key, max_key, **options)
        key = max_key or options.get("min_key")
        if found is None and key and self.list_checkpoints():
            raise ValueError(
                f"no checkpoint of {self.checkpoints_dir} has the key {key}"
            )
        return found

    def set_aside_broken(self):
        """Renames damaged checkpoints; raises ValueError if all are damaged."""
        self._remove_leftovers()
        folders = sorted(self.checkpoints_dir.glob(f"{CKPT_PREFIX}+*"))
        problems = {folder: find_problem(folder) for folder in folders}
        broken = [folder for folder in folders if problems[folder]]
        if broken and len(broken) == len(folders):
            found = "\n- ".join(f"{f}: {problems[f]}" for f in broken)
            raise ValueError(
                f"no checkpoint of {self.checkpoints_dir} can be trusted:\n- "
                f"{found}\nPut an intact copy there, or start again in another "
                "--output_folder"
            )
        for folder in broken:
            name = folder.name.replace(CKPT_PREFIX, BROKEN, 1)
            logger.warning(
                f"{folder}: {problems[folder]}; it is now {name} and another "
                "checkpoint is used"
            )
            shutil.rmtree(folder.with_name(name), ignore_errors=True)
            folder.rename(folder.with_name(name))

    def _remove_leftovers(self):
        """Removes checkpoints that are half written or half deleted."""
        for folder in self.checkpoints_dir.glob(f"{HIDDEN}{CKPT_PREFIX}+*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _list_checkpoint_dirs(self):
        # The parent would fail on a meta that is damaged.
        folders = super()._list_checkpoint_dirs()
        return [folder for folder in folders if has_intact_meta(folder)]

    def _new_checkpoint_dirpath(self):
        return _hidden(super()._new_checkpoint_dirpath())

    def _custom_checkpoint_dirpath(self, name):
        return _hidden(super()._custom_checkpoint_dirpath(name))

    def _save_checkpoint_metafile(self, fpath, meta={}, end_of_epoch=True):
        times = [
            ckpt_recency(found) + 1e-3 for found in self.list_checkpoints()
        ]
        meta = {"unixtime": max([time.time(), *times]), **plain_meta(meta)}
        return super()._save_checkpoint_metafile(fpath, meta, end_of_epoch)


def _hidden(path):
    return path.with_name(HIDDEN + path.name)


def _publish(saved):
    """Syncs a hidden checkpoint to disk and renames it."""
    write_checksums(saved.path)
    final = saved.path.with_name(saved.path.name.removeprefix(HIDDEN))
    os.replace(saved.path, final)
    fsync_path(final.parent)
    parameters = {
        name: final / Path(path).name for name, path in saved.paramfiles.items()
    }
    return Checkpoint(final, saved.meta, parameters)
