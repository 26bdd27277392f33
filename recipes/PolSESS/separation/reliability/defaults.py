"""Settings that depend on the machine; a YAML calls these functions.

Authors
 * The PolSESS recipe team 2026
"""

import torch

from speechbrain.utils.parallel import get_available_cpu_count


def default_precision(fp16=True):
    """Chooses the precision of training by the GPU.

    Arguments
    ---------
    fp16 : bool
        Whether the network computes in fp16.

    Returns
    -------
    str
        bf16 on a GPU that computes in it, fp16 on another one if the network
        does, else fp32.
    """
    if not torch.cuda.is_available():
        return "fp32"
    has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    if has_bf16:
        return "bf16"
    return "fp16" if fp16 else "fp32"


def leave_one_core_free():
    """Limits the threads of torch to one less than there are CPU cores.

    The threads of a layer wait for one another. With a thread for each core,
    one other busy process slows all of them down, to a third on two cores. The
    free core takes the other process, or the data loader's worker. A lower
    OMP_NUM_THREADS counts.
    """
    free = max(1, get_available_cpu_count() - 1)
    torch.set_num_threads(min(torch.get_num_threads(), free))
