"""`trainer.compile=true`: the network by torch.compile, once it has shown that it works."""

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from convtasnet_lit.model.network import ConvTasNet


class Compiled:
    """Compute what `ConvTasNet.separate_with_masks` computes, by torch.compile.

    The first batch is separated once more, forward and backward, to see whether compiling works here: in the precision
    and with the shapes of the run. Where it does not, one line says so, and the network runs as it is.

    Args:
        network: The network.
    """

    def __init__(self, network: ConvTasNet) -> None:
        self._network = network
        self._separate = torch.compile(network.separate_with_masks)
        self._is_tried = False

    def __call__(self, mixture: Tensor) -> tuple[Tensor, Tensor]:
        """Separate mixtures.

        Args:
            mixture: (batch, samples).
        """
        if not self._is_tried:
            self._is_tried = True
            try:
                self._try(mixture)
            except Exception as error:  # compilers, Triton and drivers fail in many ways
                reason = (str(error).strip() or "no reason given").splitlines()[0]
                rank_zero_info(f"warning: trainer.compile: not compiled, {type(error).__name__}: {reason}")
                self._separate = self._network.separate_with_masks
        return self._separate(mixture)

    @torch.enable_grad()
    def _try(self, mixture: Tensor) -> None:
        """Go forward and back once, and leave no trace: no gradient, and no batch counted by a norm."""
        before = {name: buffer.clone() for name, buffer in self._network.named_buffers()}
        try:
            estimates, _ = self._separate(mixture)
            parameters = [parameter for parameter in self._network.parameters() if parameter.requires_grad]
            torch.autograd.grad(estimates.float().square().mean(), parameters)
        finally:
            self._network.load_state_dict(before, strict=False)
