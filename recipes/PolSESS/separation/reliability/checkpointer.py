"""Checkpoints that are complete or absent.

Authors
 * The PolSESS recipe team 2026
"""

import os
import re
import shutil
import time
from pathlib import Path

from reliability.run_folder import cannot_be_written, why_not_saved
from reliability.checksums import (
    check_weights,
    find_problem,
    has_whole_meta,
    plain,
    seal,
    to_disk,
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

HIDDEN = "."  # begins the name of one that is being written or deleted
BROKEN = "BROKEN"  # begins the name of one that cannot be trusted


class SafeCheckpointer(Checkpointer):
    """SpeechBrain's Checkpointer, made safe against kills and full disks.

    It answers these defects of the parent:

    * The parent writes the file that marks a checkpoint as one first, so a kill
      or a full disk leaves a checkpoint from which no run can start. Here a
      checkpoint is written into a hidden folder, brought to disk, and renamed
      when it is complete, all processes having written their part.
    * The parent trusts what it finds. Here a checkpoint holds the sums of its
      files, and one that does not agree with them is named, renamed to
      ``BROKEN+...``, and the one before it is taken. If none can be trusted,
      the run stops rather than start from scratch.
    * The parent writes any meta. A numpy value in it makes every later start
      fail, and a NaN makes the search for the best checkpoint meaningless, so
      that the best one is deleted. Here numbers become plain floats, and one
      that is not finite is left out, so that its checkpoint is never the best.
    * The parent saves weights that are not finite over good ones.
    * The parent deletes file by file, so a kill leaves half a checkpoint. Here
      its folder is hidden first.
    * The parent may keep a single one. Here the last two are never deleted, so
      that a run can go on when the disk has damaged one.
    * The parent keeps its list of rules for deletion in a default argument, to
      which every call appends one.
    * The parent takes the one with the latest time. A machine whose clock is
      behind would lose what it saves; here times only grow.

    Arguments
    ---------
    checkpoints_dir : str
        Made if necessary; ValueError is raised if it cannot be.
    recoverables : dict
        Name -> what is to be saved.
    **options
        See the parent.
    """

    def __init__(self, checkpoints_dir, recoverables=None, **options):
        try:
            super().__init__(checkpoints_dir, recoverables, **options)
        except OSError as error:  # of making its folder
            message = cannot_be_written(checkpoints_dir, error)
            raise ValueError(message) from error

    def save_checkpoint(self, meta={}, end_of_epoch=True, **options):
        """Saves a checkpoint, completely or not at all.

        Raises ValueError when weights are not finite, OSError when it cannot
        be written; earlier checkpoints then are as they were.

        Arguments
        ---------
        meta : dict
            Numbers and texts to find it by.
        end_of_epoch : bool
            Whether an epoch has ended.
        **options
            See the parent.

        Returns
        -------
        Checkpoint
            None on all processes but the first.
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
            # So torch tells of a full disk.
            of_torch = re.search(
                "StreamWriter|inline_container|iostream", str(error)
            )
            if isinstance(error, OSError) or of_torch:
                message = why_not_saved(self.checkpoints_dir, error)
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
        keys = [{"min_key": key} for key in min_keys or []]
        keys += [{"max_key": key} for key in max_keys or []]
        keys += [{"importance_key": key} for key in importance_keys]
        kept = set(self.find_checkpoints(max_num_checkpoints=2))
        unwanted = set()
        for key in keys:
            found = self.find_checkpoints(ckpt_predicate=ckpt_predicate, **key)
            kept.update(found[:num_to_keep])
            unwanted.update(found)
        ddp_barrier()
        if if_main_process():
            for checkpoint in unwanted - kept:
                checkpoint.path.rename(_hidden(checkpoint.path))
            self._remove_leftovers()
        ddp_barrier()

    def recover_if_possible(self, importance_key=None, max_key=None, **options):
        """Loads the checkpoint that is looked for, if it can be trusted.

        Raises ValueError when there are checkpoints, and none can be trusted,
        or none has the key.

        Arguments
        ---------
        importance_key : callable
            See the parent.
        max_key : str
            See the parent.
        **options
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
        """Renames checkpoints that cannot be trusted.

        Raises ValueError when there is none beside them.
        """
        self._remove_leftovers()
        folders = sorted(self.checkpoints_dir.glob(f"{CKPT_PREFIX}+*"))
        problems = {folder: find_problem(folder) for folder in folders}
        broken = [folder for folder in folders if problems[folder]]
        if broken and len(broken) == len(folders):
            found = "\n- ".join(f"{f}: {problems[f]}" for f in broken)
            raise ValueError(
                f"no checkpoint of {self.checkpoints_dir} can be trusted:\n- "
                f"{found}\nPut an intact copy there, or start anew in another "
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
        """Removes what is half written or half deleted."""
        for folder in self.checkpoints_dir.glob(f"{HIDDEN}{CKPT_PREFIX}+*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _list_checkpoint_dirs(self):
        # The parent would fail on a meta that is damaged.
        folders = super()._list_checkpoint_dirs()
        return [folder for folder in folders if has_whole_meta(folder)]

    def _new_checkpoint_dirpath(self):
        return _hidden(super()._new_checkpoint_dirpath())

    def _custom_checkpoint_dirpath(self, name):
        return _hidden(super()._custom_checkpoint_dirpath(name))

    def _save_checkpoint_metafile(self, fpath, meta={}, end_of_epoch=True):
        times = [
            ckpt_recency(found) + 1e-3 for found in self.list_checkpoints()
        ]
        meta = {"unixtime": max([time.time(), *times]), **plain(meta)}
        return super()._save_checkpoint_metafile(fpath, meta, end_of_epoch)


def _hidden(path):
    return path.with_name(HIDDEN + path.name)


def _publish(saved):
    """Brings a hidden checkpoint to disk and renames it."""
    seal(saved.path)
    final = saved.path.with_name(saved.path.name.removeprefix(HIDDEN))
    os.replace(saved.path, final)
    to_disk(final.parent)
    parameters = {
        name: final / Path(path).name for name, path in saved.paramfiles.items()
    }
    return Checkpoint(final, saved.meta, parameters)
