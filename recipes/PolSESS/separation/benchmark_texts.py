"""What ``benchmark.py`` says of its tables.

Authors
 * The PolSESS recipe team 2026
"""

NETWORKS = """\
Conv-TasNet with {size}; items of {seconds:g} s at 8 kHz of noise; ES has one \
output, SB two. *stock* are SpeechBrain's modules as they are, *ours* those of \
this recipe with the same weights, *torchaudio* its ConvTasNet with the same \
letters, which has skip connections besides. bf16 and fp16 are mixed precision \
by autocast, fp16 with a scaled loss.
"""
MEMORY = """\
The peak of a fresh process for each system, on a CPU its resident memory, on a \
GPU what torch has allocated. *Loaded* are Python, torch, network and Adam's \
moments on a CPU, network and moments on a GPU; the others contain it. On a CPU \
the memory of a compiled system contains what compiling takes in its process. \
*about* is an extrapolation by a line through the two largest measurements; \
without it the batch was tried on a GPU limited to 12 GiB, the context of CUDA \
not counted. The last column contains compiling, where it is.
"""
METHOD = """\
All systems of a task and batch size take turns after a warm-up; rounds: \
{rounds}; a system too slow for more has one, and its range is that single turn. \
Ratios are taken within a round. A turn repeats calls up to 0.1 s. The \
floor of the products is the FLOP of all convolutions of a system over the \
machine's rate, the best of products of [H, B] and [B, frames] in the same run \
(GFLOP/s: {products}; in fp32 a GPU may use TF32, as in training; on a CPU \
without instructions for 16 bits they are made in fp32, and converting counts as \
a part of them). The floor of the memory is the least traffic over the \
bandwidth of a large copy, read and written ({bandwidth} GB/s): each block \
reads its input and writes its result, and what enters its two normalisations \
is written and read once, as they need the mean of the whole signal first; in \
training the gradients likewise, what was kept is read again, and Adam goes \
over weights and moments (`benchmark_work.py`). Where a cache holds a signal, \
traffic can be less. *Reached* is the share of the higher floor in the median. \
All figures are in `benchmark.json`.
"""
