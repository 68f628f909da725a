import pytest
import torch

from convtasnet_lit.model import products


@pytest.fixture(params=[False, True], autouse=True)
def _on_either_processor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_AMD", request.param)


@pytest.mark.parametrize("batch", [1, 3])
def test_one_matrix_multiplies_each_frame(batch: int) -> None:
    matrix, x, bias = torch.randn(6, 4), torch.randn(batch, 4, 50), torch.randn(6)
    torch.testing.assert_close(products.multiply(matrix, x), torch.einsum("ij,bjt->bit", matrix, x))
    expected = torch.einsum("ij,bjt->bit", matrix, x) + bias[:, None]
    torch.testing.assert_close(products.multiply(matrix, x, bias), expected)


def test_each_sequence_has_a_matrix_of_its_own() -> None:
    matrices, x, sequence = torch.randn(3, 6, 4), torch.randn(3, 4, 50), torch.randn(3, 6, 50)
    product = torch.einsum("bij,bjt->bit", matrices, x)
    torch.testing.assert_close(products.multiply(matrices, x), product)
    expected = sequence + product
    products.add_product(sequence, matrices, x)
    torch.testing.assert_close(sequence, expected)


def test_a_transposed_matrix_and_a_part_of_a_sequence_will_do() -> None:
    matrix, x = torch.randn(4, 6).T, torch.randn(2, 9, 50)[:, :4]
    torch.testing.assert_close(products.multiply(matrix, x), torch.einsum("ij,bjt->bit", matrix, x))
