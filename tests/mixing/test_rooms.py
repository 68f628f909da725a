"""Rooms against geometry, Eyring's formula, and pyroomacoustics where it is installed."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import butter, correlate, sosfiltfilt

from convtasnet_lit.mixing import rooms
from convtasnet_lit.mixing.rooms import SPEED_OF_SOUND, Room, heard_in, images, reflection_of, response, room, sampled

SIZE, MICROPHONE, SPEAKER = np.array([5.0, 4.0, 3.0]), np.array([2.1, 1.7, 1.3]), np.array([3.4, 2.9, 1.6])
OFFICE = Room(SIZE, MICROPHONE, 0.8, 0.3)


def in_speech_band(samples: NDArray[np.float32], rate: int) -> NDArray[np.float64]:
    filtered: NDArray[np.float64] = sosfiltfilt(butter(4, (200, 3000), "bandpass", fs=rate, output="sos"), samples)
    return filtered


def decay_of(samples: NDArray[np.float64], rate: int) -> float:
    """RT60 from the slope of Schroeder's curve between -5 and -25 dB."""
    left = np.cumsum(samples[::-1] ** 2)[::-1]
    decibels = 10 * np.log10(left / left[0] + 1e-30)
    return float(3 * (np.argmax(decibels < -25) - np.argmax(decibels < -5)) / rate)


def test_the_direct_sound_is_first_and_each_wall_mirrors_the_speaker_once() -> None:
    delays, amplitudes = images(OFFICE, SPEAKER, 0.08)
    mirrored = [SPEAKER]
    for axis in range(3):
        for wall in (0.0, SIZE[axis]):
            image = SPEAKER.copy()
            image[axis] = 2 * wall - SPEAKER[axis]
            mirrored.append(image)
    distances = np.linalg.norm(np.array(mirrored) - MICROPHONE, axis=1)
    assert delays[0] == delays.min() == pytest.approx(distances[0] / SPEED_OF_SOUND, rel=1e-5)
    assert amplitudes[0] == pytest.approx(1 / distances[0], rel=1e-5)
    for distance in distances[1:]:
        nearest = np.argmin(np.abs(delays - distance / SPEED_OF_SOUND))
        assert delays[nearest] == pytest.approx(distance / SPEED_OF_SOUND, rel=1e-5)
        assert amplitudes[nearest] == pytest.approx(0.8 / distance, rel=1e-5)


def test_there_is_one_image_in_each_copy_of_the_room() -> None:
    reach = SPEED_OF_SOUND * 0.1
    delays, _ = images(OFFICE, SPEAKER, 0.1)
    assert len(delays) == pytest.approx(4 / 3 * np.pi * reach**3 / SIZE.prod(), rel=0.03)
    assert delays.max() < 0.1


@pytest.mark.parametrize("delay", [0.01, 0.010013, 0.010047])  # on a sample at 16 kHz and between two
def test_an_arrival_between_two_samples_keeps_its_time_and_loudness(delay: float) -> None:
    spectrum = np.fft.rfft(sampled(np.array([delay]), np.array([0.5]), 16_000), 1600)[10:500]  # 100 to 5000 Hz
    frequencies = 10.0 * np.arange(10, 500)
    np.testing.assert_allclose(np.abs(spectrum), 0.5, atol=0.01)
    late = spectrum * np.exp(2j * np.pi * frequencies * delay)
    assert np.abs(np.angle(late) / (2 * np.pi * frequencies)).max() < 0.5 / 16_000 / rooms.FINER * 1.01


def test_sound_decays_in_about_the_time_that_was_drawn() -> None:
    ratios = []
    for number in range(12):
        whole = response(8000, 0, number, 0).whole
        ratios.append(decay_of(in_speech_band(whole, 8000), 8000) / room(0, number).decay)
    assert np.mean(ratios) == pytest.approx(1.15, abs=0.1)  # boxes reverberate longer than Eyring's diffuse field
    assert min(ratios) > 0.8 and max(ratios) < 1.5


def test_less_reflecting_walls_absorb_sooner() -> None:
    assert reflection_of(SIZE, 0.1) < reflection_of(SIZE, 0.6) < 1


def test_rooms_and_places_are_within_their_ranges() -> None:
    for number in range(30):
        here = room(1, number)
        assert 0.1 <= here.decay <= 0.6
        assert 0 < here.reflection < 1
        for place in range(rooms.PLACES):
            speaker = rooms._placed(here, np.random.default_rng(place))
            assert 0.5 <= np.linalg.norm(speaker - here.microphone) <= 3
            assert ((speaker > 0.3) & (speaker < here.size - 0.3)).all()


def test_a_response_follows_from_its_numbers_and_no_other_has_it() -> None:
    first = response(8000, 0, 3, 1).whole
    response.cache_clear()
    room.cache_clear()
    np.testing.assert_array_equal(response(8000, 0, 3, 1).whole, first)
    for other in ((1, 3, 1), (0, 4, 1), (0, 3, 2)):
        assert not np.array_equal(response(8000, *other).whole, first)


def test_the_direct_sound_is_the_beginning_of_the_whole() -> None:
    for place in range(rooms.PLACES):
        whole, direct = response(16_000, 0, 5, place)
        peak = int(np.abs(direct).argmax())
        np.testing.assert_array_equal(whole[: peak - 12], direct[: peak - 12])
        assert whole[peak] == pytest.approx(direct[peak], rel=0.2)


def test_speech_keeps_its_level_and_its_direct_sound_lies_where_it_is_in_the_mixture() -> None:
    source = np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    source[8000:] = 0  # where the room rings
    heard = response(16_000, 0, 7, 2)
    whole, direct = heard_in(source, heard)
    assert len(whole) == len(direct) == len(source)
    assert whole.dtype == direct.dtype == np.float32
    assert np.dot(whole, whole) == pytest.approx(np.dot(source, source), rel=1e-4)
    assert np.dot(direct, direct) < np.dot(whole, whole)
    assert correlate(whole, direct, "full", "fft").argmax() == len(source) - 1  # no lag
    lag = int(correlate(direct, source, "full", "fft").argmax()) - (len(source) - 1)
    assert 0.5 / SPEED_OF_SOUND * 16_000 - 1 <= lag <= 3 / SPEED_OF_SOUND * 16_000 + 1


@pytest.mark.parametrize("floor", [0.0, 1 / 32_768])
def test_a_sound_whose_echoes_come_after_the_end_raises_nothing(floor: float) -> None:
    source = (floor * np.random.default_rng(0).standard_normal(16_000)).astype(np.float32)
    source[-8:] = 0.1
    heard = response(8000, 0, 0, 0)
    whole, _ = heard_in(source, heard)
    complete = np.convolve(source, heard.whole)
    gain = np.linalg.norm(source) / np.linalg.norm(complete)
    np.testing.assert_allclose(whole, gain * complete[: len(source)], atol=1e-6)
    assert np.dot(whole, whole) <= np.dot(source, source)


def test_it_is_the_response_of_pyroomacoustics() -> None:
    pyroomacoustics = pytest.importorskip("pyroomacoustics")
    pyroomacoustics.constants.set("rir_hpf_enable", False)
    box = pyroomacoustics.ShoeBox(
        SIZE, 16_000, materials=pyroomacoustics.Material(1 - OFFICE.reflection**2), max_order=40, air_absorption=False
    )
    box.add_source(SPEAKER)
    box.add_microphone(MICROPHONE)
    box.compute_rir()
    theirs = box.rir[0][0][pyroomacoustics.constants.get("frac_delay_length") // 2 :]
    ours = sampled(*images(OFFICE, SPEAKER, 0.12), 16_000)
    one, other = (in_speech_band(each[:1800], 16_000) for each in (ours, theirs))
    assert np.square(one - other).sum() < 0.005 * np.square(other).sum()
