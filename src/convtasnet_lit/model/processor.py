"""What this processor computes fast."""

import sys

import torch


def warn_of_slow_bfloat16(device: str) -> None:
    """Say on standard error, before the first pass, if a network is to multiply in bfloat16 on a CPU that cannot.

    Args:
        device: Where it computes, in torch's words.
    """
    if device == "cpu" and not multiplies_bfloat16():
        print(
            "warning: this processor has no bfloat16 instructions: bfloat16 is several times slower here than float32",
            file=sys.stderr,
        )


def multiplies_bfloat16() -> bool:
    """Tell whether this processor has instructions for bfloat16; torch computes without them, but slowly."""
    return any(torch.cpu.get_capabilities().get(name) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))
