"""Fingerprints find the same picture again; the fast search finds what a slow one does."""

from __future__ import annotations

import io
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from albums import album, of_grey, scene, slow_pairs
from mrnn.images import duplicates
from mrnn.images.duplicates import (
    BITS,
    FINGERPRINT,
    SIDE,
    connected,
    difference_hashes,
    fingerprint,
    first_copies,
    is_even,
    near_pairs,
)


def saved_again(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def cropped(image: Image.Image, share: float) -> Image.Image:
    width, height = image.size
    return image.crop(
        (
            int(width * share),
            int(height * share),
            int(width * (1 - share)),
            int(height * (1 - share)),
        )
    )


def near(one: Image.Image, other: Image.Image) -> bool:
    pairs, _ = near_pairs(np.stack([fingerprint(one), fingerprint(other)]))
    return len(pairs) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda image: saved_again(image, 30),
        lambda image: saved_again(image.resize((120, 90)), 75),
        lambda image: image.resize((480, 360)),
        lambda image: ImageEnhance.Brightness(image).enhance(1.1),
        lambda image: ImageEnhance.Contrast(image).enhance(0.75),
        lambda image: image.convert("L").convert("RGB"),
        lambda image: cropped(image, 0.01),
    ],
)
def test_a_picture_saved_in_another_way_is_near_itself(change):
    assert all(near(scene(seed), change(scene(seed))) for seed in range(5))


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        lambda image: cropped(image, 0.2),
        lambda image: image.rotate(90),
    ],
)
def test_another_view_is_not_near(change):
    assert not any(near(scene(seed), change(scene(seed))) for seed in range(5))


def test_different_pictures_are_not_near():
    assert (
        len(near_pairs(np.stack([fingerprint(scene(seed, (60, 45))) for seed in range(60)]))[0])
        == 0
    )


def test_things_on_white_are_told_apart():
    """Most places are flat in all of them, and agree."""
    things = np.stack([np.asarray(scene(seed, (10, 10)).convert("L")) for seed in range(30)])
    grey = np.full((30, 18, 18), 255, dtype=np.uint8)
    grey[:, 4:14, 4:14] = things
    hashes, _ = difference_hashes(grey)
    alike = [np.bitwise_count(a ^ b).sum() <= BITS for a, b in combinations(hashes, 2)]
    assert sum(alike) > 0
    assert not is_even(of_grey(grey)).any()
    assert len(near_pairs(of_grey(grey))[0]) == 0


def test_pictures_that_agree_only_when_shrunk_are_told_apart():
    """A slope and the same slope with a pattern that averages out."""
    slope = np.add.outer(np.arange(18), np.arange(18)) * 6.0 + 20
    pattern = np.tile([[20, -20], [-20, 20]], (9, 9))
    skies = of_grey(np.stack([slope, slope + pattern]))
    hashes, _ = difference_hashes(skies["grey"])
    assert np.bitwise_count(hashes[0] ^ hashes[1]).sum() <= BITS
    assert len(near_pairs(skies)[0]) == 0


def test_even_pictures_are_near_none_but_still_copies():
    white, whiter, snow = (Image.new("RGB", (20, 20), (v, v, v)) for v in (250, 255, 255))
    prints = np.stack([fingerprint(image) for image in (white, whiter, snow)])
    assert is_even(prints).all()
    assert len(near_pairs(prints)[0]) == 0
    assert first_copies(prints).tolist() == [0, 1, 1]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(1, 6), st.floats(0, 0.5))
def test_the_fast_search_finds_what_comparing_all_finds(seed, families, members, mixed):
    prints = album(seed, families, members, mixed)
    pairs, is_all = near_pairs(prints)
    assert is_all
    assert pairs.tolist() == slow_pairs(prints)


def test_the_fast_search_is_tried_on_both_sides_of_its_limits():
    """The property above would be empty if all distances were far from the limit."""
    distances, found = [], 0
    for seed in range(10):
        prints = album(seed, 3, 5, 0.3)
        hashes, _ = difference_hashes(prints["grey"])
        distances += [np.bitwise_count(a ^ b).sum() for a, b in combinations(hashes, 2)]
        found += len(near_pairs(prints)[0])
    assert {BITS - 1, BITS, BITS + 1} <= set(distances)
    assert found > 20


@pytest.fixture
def with_hashes(monkeypatch):
    """Make fingerprints that differ in nothing but the given bits and steep places of the hash."""

    def make(bits: np.ndarray, steep: np.ndarray) -> np.ndarray:
        monkeypatch.setattr(duplicates, "difference_hashes", lambda grey: (bits, steep))
        return of_grey(np.stack([np.asarray(scene(0, (SIDE, SIDE)).convert("L"))] * len(bits)))

    return make


@pytest.mark.parametrize(("steep", "near"), [(128, True), (32, True), (31, False)])
def test_places_that_are_flat_in_both_do_not_count(with_hashes, steep, near):
    """Three bits may differ where 32 places are steep, as 12 where all 128 are."""
    places = np.zeros((2, 2), dtype=np.uint64)
    for place in range(steep):
        places[place % 2, place // 64] |= np.uint64(1) << np.uint64(place % 64)
    prints = with_hashes(np.array([[0, 0], [7, 0]], dtype=np.uint64), places)
    assert len(near_pairs(prints)[0]) == near


@pytest.mark.parametrize(("count", "near"), [(12, True), (13, False)])
def test_more_than_twelve_bits_are_too_many_even_in_flat_places(with_hashes, count, near):
    places = [*range(0, 128, 14), *range(1, 128, 14)][:count]  # of two bands
    other = [sum(1 << p % 64 for p in places if p // 64 == word) for word in range(2)]
    prints = with_hashes(np.array([[0, 0], other], np.uint64), np.zeros((2, 2), np.uint64))
    assert len(near_pairs(prints)[0]) == near


@pytest.mark.parametrize("left", list(combinations(range(BITS + 2), 2)))
def test_twelve_bits_in_twelve_bands_are_found_whichever_bands_are_left(with_hashes, left):
    """The worst case of the pigeonhole principle: every other band differs."""
    bits = np.random.default_rng(0).integers(0, 2**63, (1, 2), dtype=np.uint64).repeat(3, axis=0)
    for place in set(range(BITS + 2)) - set(left):
        bits[1, 0] ^= np.uint64(1) << np.uint64(place)
    bits[2] = bits[1] ^ np.uint64(1 << 63)  # 14 from the first, 2 from the second
    prints = with_hashes(bits, np.full((3, 2), 2**64 - 1, dtype=np.uint64))
    assert near_pairs(prints)[0].tolist() == [[0, 1], [1, 2]]


@pytest.mark.parametrize("limit", ["_COMPARISONS", "MOST_PAIRS"])
def test_too_many_near_pictures_are_cut_short_and_said_to_be(monkeypatch, limit):
    prints = album(0, 1, 30, 0.02)
    everything, is_all = near_pairs(prints)
    assert (len(everything), is_all) == (30 * 29 // 2, True)
    monkeypatch.setattr(duplicates, limit, 60)
    some, is_all = near_pairs(prints)
    assert not is_all
    assert 0 < len(some) < len(everything)
    assert {tuple(pair) for pair in some.tolist()} <= {tuple(pair) for pair in everything.tolist()}
    assert limit == "_COMPARISONS" or len(some) <= 60


def test_a_pair_that_was_passed_over_is_found_under_another_key(with_hashes, monkeypatch):
    monkeypatch.setattr(duplicates, "_COMPARISONS", 1)  # only the next one is compared
    between = sum(1 << place for place in range(2, BITS + 2))  # agrees in the first two bands only
    bits = np.array([[0, 0], [between, 0], [1 << 60, 0]], dtype=np.uint64)
    prints = with_hashes(bits, np.full((3, 2), 2**64 - 1, dtype=np.uint64))
    pairs, is_all = near_pairs(prints)
    assert (pairs.tolist(), is_all) == ([[0, 1], [0, 2]], False)


def test_no_pictures_have_no_pairs():
    pairs, is_all = near_pairs(np.zeros(0, FINGERPRINT))
    assert (pairs.shape, is_all) == ((0, 2), True)


def test_copies_are_those_with_equal_pixels_and_size():
    image = scene(1, (24, 18))
    turned = Image.frombytes("RGB", (18, 24), image.tobytes())
    other = image.copy()
    other.putpixel((0, 0), (1, 2, 3))
    images = (other, image, turned, image.copy(), other)
    prints = np.stack([fingerprint(i) for i in images])
    assert first_copies(prints).tolist() == [0, 1, 2, 1, 0]


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (9, 9)])
def test_pictures_of_any_shape_have_a_fingerprint(size):
    assert fingerprint(scene(0, size)).shape == ()


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=20))
def test_groups_are_what_can_be_reached(pairs):
    def reach(item: int) -> list[int]:
        seen = {item}
        for _ in pairs:
            seen |= {x for pair in pairs if seen & set(pair) for x in pair}
        return sorted(seen)

    groups = {tuple(reach(item)) for pair in pairs for item in pair}
    assert connected(pairs) == sorted(list(group) for group in groups if len(group) > 1)
