import copy

import pytest
import torch
from torch import Tensor, nn

from convtasnet_lit.training.muon import Muon, orthogonal


def weights_and_gradients(seed: int = 0) -> tuple[list[nn.Parameter], list[Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(8, 24), (24, 8), (8, 24), (5,), (4, 1, 3)]
    weights = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
    return weights, [torch.randn(weight.shape, generator=generator) for weight in weights]


def stepped(optimizers: list[torch.optim.Optimizer], weights: list[nn.Parameter], steps: int = 3) -> list[Tensor]:
    for step in range(steps):
        _, gradients = weights_and_gradients(step)
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient.clone()
        for optimizer in optimizers:
            optimizer.step()
    return [weight.detach().clone() for weight in weights]


def test_matrices_are_trained_as_by_torchs_muon_and_the_rest_as_by_adam() -> None:
    ours, _ = weights_and_gradients()
    theirs = copy.deepcopy(ours)
    alike = {"momentum": 0.95, "weight_decay": 0.0, "adjust_lr_fn": "match_rms_adamw"}
    reference = [torch.optim.Muon(theirs[:3], 0.02, **alike), torch.optim.Adam(theirs[3:], 0.02)]
    found = stepped([Muon(ours[:3], ours[3:], lr=0.02)], ours)
    for one, other in zip(found, stepped(reference, theirs), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=2e-3)  # of 0.06; bfloat16 sums in another order
    torch.testing.assert_close(found[3:], [weight.detach() for weight in theirs[3:]])


def test_a_pointwise_convolution_is_the_matrix_it_is() -> None:
    weights, gradients = weights_and_gradients()
    matrix, convolution = nn.Parameter(weights[0].detach().clone()), nn.Parameter(weights[0].detach().unsqueeze(2))
    matrix.grad, convolution.grad = gradients[0], gradients[0].unsqueeze(2)
    Muon([matrix, convolution], weights[3:], lr=0.01).step()
    torch.testing.assert_close(convolution.detach().squeeze(2), matrix.detach())


def test_no_direction_of_an_update_is_left_behind() -> None:
    spectrum = torch.logspace(0, -2, 16)
    left, right = (torch.linalg.qr(torch.randn(16, 16))[0] for _ in range(2))
    values = torch.linalg.svdvals(orthogonal((left * spectrum @ right).unsqueeze(0))[0])
    assert values.min() > 0.3
    assert values.max() < 1.3


@pytest.mark.parametrize("fused", [False, True])
def test_it_goes_on_from_its_state_bit_for_bit(fused: bool) -> None:
    weights, _ = weights_and_gradients()
    through, stopped = weights, copy.deepcopy(weights)
    first = Muon(through[:3], through[3:], lr=0.01, weight_decay=0.1, fused=fused)
    stepped([first], through)
    once = Muon(stopped[:3], stopped[3:], lr=0.01, weight_decay=0.1, fused=fused)
    stepped([once], stopped)
    again = Muon(stopped[:3], stopped[3:], lr=0.5, fused=fused)
    again.load_state_dict(copy.deepcopy(once.state_dict()))
    assert all(map(torch.equal, stepped([first], through), stepped([again], stopped)))


def test_the_gradients_are_left_as_they_were() -> None:
    weights, _ = weights_and_gradients()
    optimizer = Muon(weights[:3], weights[3:], lr=0.01)
    loss = optimizer.step(lambda: sum(weight.square().sum() for weight in weights).backward() or 7.0)
    assert loss == 7.0
    assert all(weight.grad is not None for weight in weights)
