"""What a training step takes of memory, counted without a GPU and without allocating anything.

The step is run on torch's fake tensors, which have a shape, a precision and a place, and no content: forward, loss and
backward go through the same operations as in training on a GPU, and what each one makes is counted as long as it lives.
On a CPU the passes of the fast path are compiled and have less workspace.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from weakref import WeakSet, finalize

import torch
from torch import Tensor, UntypedStorage, nn
from torch._subclasses import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode

from convtasnet_lit.model.masks import SourceSoftmax
from convtasnet_lit.model.network import ConvTasNet
from convtasnet_lit.training.losses import si_sdr_or_leakage
from convtasnet_lit.training.module import observations

ADAM_STATES = 2  # the means of the gradient and of its square


@dataclass(frozen=True)
class Step:
    """A training step, as far as its memory goes.

    Args:
        model: Arguments of `ConvTasNet`.
        num_speakers: In a mixture.
        samples: Length of a segment in samples.
        precision: `fp32`, `fp16` or `bf16`; the last two are autocast, and take the same.
        memory: What is kept for the backward pass, see `ConvTasNet.memory`.
    """

    model: dict[str, Any] = field(hash=False)
    num_speakers: int
    samples: int
    precision: str
    memory: str


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes of each part, at the moment of a step that takes most."""

    weights: int
    gradients: int
    optimizer: int
    saved: int  # what the forward pass keeps for the backward pass
    workspace: int  # the batch, and all that lives for a moment

    @property
    def total(self) -> int:
        """Bytes of all parts."""
        return self.weights + self.gradients + self.optimizer + self.saved + self.workspace


@cache
def plan(step: Step, batch: int) -> MemoryPlan:
    """Count what a step takes.

    Args:
        step: What is trained, and on what.
        batch: How many mixtures.

    Example:
        >>> step = Step({"hidden_channels": 64, "num_blocks": 2}, 2, samples=16_000, precision="fp16", memory="lean")
        >>> plan(step, batch=1).weights == plan(step, batch=1000).weights
        True
    """
    with FakeTensorMode():
        network = ConvTasNet(step.num_speakers, **step.model)
        network.memory = step.memory
        _widen_as_gpus_do(network)
        for parameter in network.parameters():
            parameter.grad = torch.zeros_like(parameter)  # as from the second batch of an accumulation on
        gradients = _bytes(p.untyped_storage() for p in network.parameters())
        saved, peak = _count(network, step, batch)
        weights = gradients + _bytes(b.untyped_storage() for b in network.buffers())
    return MemoryPlan(weights, gradients, ADAM_STATES * gradients, saved, peak - saved)


def largest_batch(step: Step, budget: float) -> int:
    """Return the largest batch that fits; 0 if none does.

    Memory grows linearly with the batch, but for some megabytes of weights in half precision: batches of 1 and 2 are
    counted, and the line through them is followed.

    Args:
        step: What is trained, and on what.
        budget: The memory that there is, in bytes.
    """
    one, two = (plan(step, batch).total for batch in (1, 2))
    return max(0, 1 + int((budget - one) // (two - one)))


def _count(network: ConvTasNet, step: Step, batch: int) -> tuple[int, int]:
    """Bytes that the forward pass keeps, and the most that there is at once beside weights and gradients."""
    half = step.precision != "fp32"
    resident = [t.untyped_storage() for p in network.parameters() for t in (p, p.grad) if t is not None]
    resident += [buffer.untyped_storage() for buffer in network.buffers()]
    kept: WeakSet[UntypedStorage] = WeakSet()

    def keep(tensor: Tensor) -> Tensor:
        kept.add(tensor.untyped_storage())
        return tensor

    with _LiveBytes(resident) as live:
        sources = torch.empty(batch, step.num_speakers, step.samples)
        with torch.autocast("cpu", torch.bfloat16, half), saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = _training_step(network, sources)
        saved = _bytes(kept.difference(resident))
        loss.backward()  # type: ignore[no-untyped-call]
    return saved, live.peak


def _widen_as_gpus_do(network: ConvTasNet) -> None:
    """Let in float32 what autocast on a GPU computes in it, and on a CPU in half precision."""
    for name, module in network.named_modules():
        is_fast = network.memory != "plain" and name.startswith("separator.blocks.")  # there precision is set by hand
        if isinstance(module, nn.GroupNorm | SourceSoftmax) and not is_fast:
            module.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))


def _training_step(network: ConvTasNet, sources: Tensor) -> Tensor:
    """What `SeparationModule.training_step` does, but for the search of the best order: its tables would stay fake.

    The loss of runs that count speakers keeps less: of `tiny`, where it weighs most, 4 % of what is saved in `lean`.
    """
    mixture = sources.sum(1)
    estimates, masks = network.separate_with_masks(mixture)
    order = torch.zeros(1, dtype=torch.int64).expand_as(estimates)
    loss = -si_sdr_or_leakage(estimates.float().gather(1, order), sources).mean()
    observations(mixture, masks.detach())
    return loss


def _bytes(storages: Iterable[UntypedStorage]) -> int:
    return sum(storage.nbytes() for storage in storages)


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follow how many bytes live, and how many lived at most, from the operations' results.

    Args:
        resident: Storages that are not to be counted.
    """

    def __init__(self, resident: Iterable[UntypedStorage]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._known = WeakSet(resident)

    def __torch_dispatch__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        results = function(*args, **(kwargs or {}))
        for result in results if isinstance(results, tuple | list) else (results,):
            if isinstance(result, Tensor):
                self._meet(result.untyped_storage())
        return results

    def _meet(self, storage: UntypedStorage) -> None:
        if storage not in self._known:  # else the result is a view, or was computed in place
            self._known.add(storage)
            self._add(storage.nbytes())
            finalize(storage, self._add, -storage.nbytes())

    def _add(self, count: int) -> None:
        self.now += count
        self.peak = max(self.peak, self.now)
