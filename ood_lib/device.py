"""The GPU, if there is one, and the number format in which it computes fastest."""

import torch


def compute_device() -> torch.device:
    """The first GPU, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def half_precision() -> torch.dtype | None:
    """bfloat16 on a GPU that computes in it, float16 on an older one; None on the CPU."""
    if not torch.cuda.is_available():
        return None  # neither is faster there
    in_hardware = torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if in_hardware else torch.float16
