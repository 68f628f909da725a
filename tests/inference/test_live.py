"""A stream in chunks of any size against the whole; its level, its end, bad input."""

from random import Random
from typing import Any

import numpy as np
import pytest
import torch

from convtasnet_lit.errors import InputError
from convtasnet_lit.inference.level import Level
from convtasnet_lit.inference.live import RunningLevel, StreamingSeparator, separated
from convtasnet_lit.inference.pipe import decode, encode
from convtasnet_lit.model.network import ConvTasNet
from tests.model.test_network import tiny
from tests.model.test_streaming import VARIANTS, causal


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=samples).astype(np.float32)


@torch.inference_mode()
def whole(network: ConvTasNet, mixture: np.ndarray) -> np.ndarray:
    return network(torch.from_numpy(mixture)[None])[0].numpy()


def streamed(separator: StreamingSeparator, mixture: np.ndarray, chunks: list[int]) -> np.ndarray:
    """What comes out in all; the last chunk takes the rest."""
    pieces = np.split(mixture, np.cumsum(chunks))
    return np.concatenate([*map(separator.push, pieces), separator.flush()], 1)


@pytest.mark.parametrize("settings", VARIANTS)
def test_chunks_of_any_size_are_the_whole(settings: dict[str, Any]) -> None:
    network, random = causal(**settings), Random(0)
    separator = StreamingSeparator(network)
    for trial in range(40):
        length = random.choice([random.randrange(1, 40), random.randrange(40, 6000)])
        chunks = [random.choice([0, 1, 1, 7, 160, random.randrange(4000)]) for _ in range(random.randrange(12))]
        mixture = noise(length, trial)
        expected = whole(network, mixture)
        found = streamed(separator, mixture, chunks)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=2e-5 * max(1, np.abs(expected).max()), err_msg=f"{length}")


@pytest.mark.parametrize("edge_padding", [True, False])
@pytest.mark.parametrize("samples", [1, 7, 8, 9, 15, 16, 17, 24, 31])
def test_the_shortest_streams_sample_by_sample(samples: int, edge_padding: bool) -> None:
    network, mixture = causal(edge_padding=edge_padding), noise(samples)
    found = streamed(StreamingSeparator(network), mixture, [1] * samples)
    np.testing.assert_allclose(found, whole(network, mixture), atol=1e-5)


def test_a_long_push_is_the_whole_though_it_is_taken_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convtasnet_lit.inference.live.FRAMES_AT_ONCE", 64)
    network, mixture = causal(), noise(5003)
    np.testing.assert_allclose(streamed(StreamingSeparator(network), mixture, []), whole(network, mixture), atol=1e-5)


@pytest.mark.parametrize("settings", VARIANTS[:4])
def test_an_estimate_is_there_after_the_latency_and_never_changes(settings: dict[str, Any]) -> None:
    network, mixture = causal(**settings), noise(400)
    separator, other = StreamingSeparator(network), StreamingSeparator(network)
    before = separator.push(mixture[:200])
    assert before.shape[1] > 200 - separator.latency
    after = np.concatenate([other.push(np.concatenate([mixture[:200], 10 * noise(200, 1)])), other.flush()], 1)
    np.testing.assert_allclose(after[:, : before.shape[1]], before, atol=1e-5)
    assert not np.allclose(after[:, 200:], whole(network, mixture)[:, 200:], atol=0.1)


def test_a_stream_begins_anew_after_flush_and_reset() -> None:
    separator, mixture = StreamingSeparator(causal()), noise(1000)
    first = streamed(separator, mixture, [300])
    np.testing.assert_array_equal(streamed(separator, mixture, [300]), first)
    separator.push(10 * noise(500, 1))
    separator.reset()
    np.testing.assert_array_equal(streamed(separator, mixture, [300]), first)
    assert separator.flush().shape == (2, 0)


def test_several_streams_share_a_network() -> None:
    network = causal()
    streams = [(StreamingSeparator(network), noise(900, seed)) for seed in range(3)]
    pieces = [[stream.push(mixture[i : i + 100]) for stream, mixture in streams] for i in range(0, 900, 100)]
    pieces.append([stream.flush() for stream, _ in streams])
    for number, (_, mixture) in enumerate(streams):
        found = np.concatenate([turn[number] for turn in pieces], 1)
        np.testing.assert_allclose(found, whole(network, mixture), atol=1e-5)


def test_the_state_does_not_grow() -> None:
    separator, sizes = StreamingSeparator(causal()), set()
    for i in range(50):
        separator.push(noise(161, i))
        sizes.add(separator.state_bytes)
    assert max(sizes) - min(sizes) < 8 * 4  # samples that wait for their stride


def test_numpy_and_torch_of_any_float_type_are_taken() -> None:
    mixture = noise(800)
    kinds = [mixture, mixture.astype(np.float64), torch.from_numpy(mixture), torch.from_numpy(mixture).requires_grad_()]
    first, *others = [StreamingSeparator(causal()).push(kind) for kind in kinds]
    for other in others:
        np.testing.assert_array_equal(other, first)


@pytest.mark.parametrize("bad", [np.zeros((2, 100)), np.zeros(()), np.array([0.0, np.nan]), np.array([np.inf])])
def test_what_are_no_samples_is_refused_and_leaves_the_stream_as_it_was(bad: np.ndarray) -> None:
    separator, mixture = StreamingSeparator(causal()), noise(500)
    first = separator.push(mixture[:203])
    with pytest.raises(InputError, match="samples"):
        separator.push(bad)
    rest = [separator.push(mixture[203:]), separator.flush()]
    np.testing.assert_allclose(np.concatenate([first, *rest], 1), whole(causal(), mixture), atol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_estimates_that_are_no_numbers_are_refused(bad: float) -> None:
    network = causal()
    network.decoder.filters.weight.data[0, 0, 0] = bad
    with pytest.raises(InputError, match="the network makes NaN or infinite estimates"):
        streamed(StreamingSeparator(network), noise(500), [])


def test_a_network_that_is_not_causal_is_refused() -> None:
    with pytest.raises(ValueError, match="not causal"):
        StreamingSeparator(tiny())


def speakers(seconds: float, rate: int = 8000) -> np.ndarray:
    """Two sources of different loudness, independent of each other."""
    rng, samples = np.random.default_rng(0), round(seconds * rate)
    return np.stack([0.3 * rng.normal(size=samples), 0.05 * rng.normal(size=samples)]).astype(np.float32)


@pytest.mark.parametrize("lag", [0, 8, 23])
def test_wrong_scales_are_at_the_mixtures_level_within_a_second(lag: int) -> None:
    sources = speakers(2.0)
    level, found = RunningLevel(2), []
    estimates = sources * np.array([[-3.0], [0.1]], np.float32)
    for start in range(0, 16_000, 80):
        ready = estimates[:, max(0, start - lag) : start + 80 - lag]
        found.append(level.levelled(sources.sum(0)[start : start + 80], ready))
    np.testing.assert_allclose(np.concatenate(found, 1)[:, 8000:], sources[:, 8000 : 16_000 - lag], atol=2e-3)


@pytest.mark.parametrize("hops", [[80] * 50, [1] * 200, [0, 300, 0, 7, 1, 0, 500, 2000]])
def test_the_gain_never_steps_and_is_right_where_a_piece_ends(hops: list[int]) -> None:
    sources, ends = speakers(1.0)[:, : sum(hops)], np.cumsum(hops)
    sources[0, : sum(hops) // 2] *= 0.1  # so that the gains have to move far
    scale = np.array([[-3.0], [0.1]], np.float32)
    estimates = scale * (sources + 0.2 * sources[::-1])
    running, whole, at_ends = RunningLevel(2), Level(2), [np.zeros(2)]
    found = []
    for start, end in zip([0, *ends], ends, strict=False):
        found.append(running.levelled(sources.sum(0)[start:end], estimates[:, start:end]))
        whole.add(sources.sum(0)[start:end], estimates[:, start:end])
        at_ends.append(whole.gains())
    gains = np.concatenate(found, 1) / estimates
    for number, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        if end > start:
            np.testing.assert_allclose(gains[:, end - 1], at_ends[number + 1], rtol=1e-4)
        if 0 < start < end:
            moved = (at_ends[number + 1] - at_ends[number]) / (end - start)
            np.testing.assert_allclose(np.diff(gains)[:, start - 1 : end - 1].T, [moved] * (end - start), atol=1e-4)


def test_silence_and_equal_estimates_get_finite_gains() -> None:
    level, signal = RunningLevel(2), noise(80)
    assert (level.levelled(np.zeros(80, np.float32), np.zeros((2, 80), np.float32)) == 0).all()
    both = level.levelled(2 * signal, np.stack([signal, signal]))
    np.testing.assert_allclose(both.sum(0), 2 * signal, atol=1e-3)


def test_a_stream_to_its_end_has_the_mixtures_level_and_length() -> None:
    network = causal(num_sources=2)
    network.decoder.filters.weight.data *= -7
    mixture = noise(8003)
    hops = np.split(mixture, range(160, 8003, 160))
    found = np.concatenate(list(separated(StreamingSeparator(network), hops)), 1)
    assert found.shape == (2, 8003)
    estimates = whole(network, mixture).astype(np.float64)
    gains = np.linalg.lstsq(estimates.T, mixture, rcond=None)[0]
    last = slice(-400, None)  # where all has been heard
    np.testing.assert_allclose(found[:, last], (gains[:, None] * estimates)[:, last], atol=0.05 * mixture.std())


@pytest.mark.parametrize("encoding", ["s16", "f32"])
def test_what_is_written_is_read_again(encoding: str) -> None:
    samples = np.array([0.0, 0.5, -1.0, 32767 / 32768, -0.25], np.float32)
    data, clipped = encode(samples, encoding)
    assert clipped == 0
    np.testing.assert_array_equal(decode(data, encoding), samples)


def test_clipped_samples_are_counted() -> None:
    data, clipped = encode(np.array([1.0, -1.0, 1.5, -2.0, 0.0]), "s16")
    assert clipped == 3
    np.testing.assert_array_equal(np.frombuffer(data, "<i2"), [32767, -32768, 32767, -32768, 0])
