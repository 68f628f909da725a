"""Slow bfloat16 is announced on processors without instructions for it, faked here."""

import pytest
import torch

from convtasnet_lit.inference.separator import Separator
from convtasnet_lit.model.network import ConvTasNet
from convtasnet_lit.model.processor import warn_of_slow_bfloat16

PROCESSORS = {
    "AVX2 alone": ({"architecture": "x86_64", "avx2": True, "avx512_bf16": False, "amx_bf16": False}, True),
    "AVX-512 without bfloat16": ({"architecture": "x86_64", "avx512_f": True, "avx512_bf16": False}, True),
    "Sapphire Rapids": ({"architecture": "x86_64", "avx512_bf16": True, "amx_bf16": True}, False),
    "ARM": ({"architecture": "aarch64", "neon": True, "bf16": True}, False),
    "older ARM": ({"architecture": "aarch64", "neon": True, "bf16": False}, True),
}


@pytest.mark.parametrize("processor", list(PROCESSORS))
def test_slow_bfloat16_is_announced_in_one_line(
    processor: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    capabilities, slow = PROCESSORS[processor]
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    warn_of_slow_bfloat16("cuda")
    assert capsys.readouterr().err == ""
    network = ConvTasNet(2, 16, 16, 8, 8, 8, num_blocks=1, num_repeats=1)
    for bfloat16 in (False, True):
        Separator(network, 8000, bfloat16=bfloat16)
        said = capsys.readouterr().err
        assert said.count("\n") == (slow and bfloat16)
        assert ("this processor has no bfloat16 instructions" in said) == (slow and bfloat16)
