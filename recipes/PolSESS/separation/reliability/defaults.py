"""Settings that depend on the machine; a YAML calls these functions.

Authors
 * The PolSESS recipe team 2026
"""

import torch

from speechbrain.utils.parallel import get_available_cpu_count


def default_precision():
    """Chooses the precision of training by the GPU.

    Returns
    -------
    str
        bf16 on a GPU that computes in it, fp16 on another one, fp32 without.
    """
    if not torch.cuda.is_available():
        return "fp32"
    has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16" if has_bf16 else "fp16"


def leave_one_core_free():
    """Limits the threads of torch to one less than there are CPU cores.

    The threads of a layer wait for one another. With a thread for each core,
    one other busy process slows all of them down, to a third on two cores. The
    free core takes the other process, or the data loader's worker. A lower
    OMP_NUM_THREADS counts.
    """
    free = max(1, get_available_cpu_count() - 1)
    torch.set_num_threads(min(torch.get_num_threads(), free))
