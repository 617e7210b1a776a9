"""What the machine does well and what it has to be told, for everything that runs a network on a CPU."""

from __future__ import annotations

import ctypes

import torch

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # <malloc.h>
NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Tell glibc's allocator to reuse large buffers; False, and no change, on another C library.

    A network allocates and frees the same large buffers for every picture. By default each goes back to the kernel and
    its page faults are paid again: on two cores that made training 1.5 to 2 times slower.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, NEVER))


def has_fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 in hardware; elsewhere it is slower than float32."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
