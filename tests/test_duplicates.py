"""Fingerprints find the same picture again; the fast search finds what a slow one does."""

from __future__ import annotations

import io
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from mrnn import duplicates
from mrnn.duplicates import (
    BITS,
    CORRELATION,
    FINGERPRINT,
    connected,
    difference_hashes,
    fingerprint,
    first_copies,
    is_even,
    near_pairs,
)


def scene(seed: int, size: tuple[int, int] = (240, 180)) -> Image.Image:
    """Something with light and dark parts, large and small."""
    random = np.random.default_rng(seed)
    large = Image.fromarray(random.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    small = Image.fromarray(random.integers(0, 256, (45, 60, 3), dtype=np.uint8))
    enlarged = [part.resize(size, Image.Resampling.BICUBIC) for part in (large, small)]
    return Image.blend(*enlarged, alpha=0.3)


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


def of_grey(grey: np.ndarray) -> np.ndarray:
    """Fingerprints of different pictures with these grey values, (N, 9, 9)."""
    prints = np.zeros(len(grey), FINGERPRINT)
    prints["grey"], prints["pixels"] = grey, np.arange(len(grey))
    return prints


def slow_pairs(prints: np.ndarray) -> list[list[int]]:
    """`near_pairs` by its definition."""

    def bits(grey: np.ndarray) -> list[bool]:
        places = [(y, x) for y in range(8) for x in range(8)]
        right = [grey[y, x + 1] > grey[y, x] for y, x in places]
        return right + [grey[y + 1, x] > grey[y, x] for y, x in places]

    grey = [p["grey"].astype(float) for p in prints]
    hashes = [bits(g) for g in grey]
    return [
        [i, j]
        for i, j in combinations(range(len(prints)), 2)
        if min(grey[i].std(), grey[j].std()) >= duplicates.EVEN
        and sum(a != b for a, b in zip(hashes[i], hashes[j], strict=True)) <= BITS
        and np.corrcoef(grey[i].ravel(), grey[j].ravel())[0, 1] >= CORRELATION
    ]


def album(seed: int, families: int, members: int, noise: float) -> np.ndarray:
    """Fingerprints of families of pictures that are more or less alike, in random order."""
    random = np.random.default_rng(seed)
    grey = random.integers(0, 256, (families, 1, 9, 9)) + random.normal(
        0, noise, (families, members, 9, 9)
    )
    grey = np.clip(grey, 0, 255).round().astype(np.uint8).reshape(-1, 9, 9)
    return of_grey(random.permutation(grey))


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
    assert len(near_pairs(np.stack([fingerprint(scene(seed)) for seed in range(100)]))[0]) == 0


def test_gradients_that_agree_by_chance_are_told_apart_by_their_values():
    slope = np.add.outer(np.arange(9), np.arange(9)) / 16
    skies = of_grey(np.stack([255 * slope, 255 * slope**8, 255 * slope**1.1]).round())
    hashes = difference_hashes(skies["grey"])
    assert np.bitwise_count(hashes[0] ^ hashes[2]).sum() <= BITS
    assert np.bitwise_count(hashes[1] ^ hashes[2]).sum() > 0
    assert near_pairs(skies)[0].tolist() == [[0, 2]]


def test_the_second_check_is_needed_where_hashes_are_equal():
    slope = np.add.outer(np.arange(9), np.arange(9))
    steep = np.where(slope > 14, slope * 12, slope)
    skies = of_grey(np.stack([slope * 12, steep]))
    hashes = difference_hashes(skies["grey"])
    assert (hashes[0] == hashes[1]).all()
    assert len(near_pairs(skies)[0]) == 0


def test_even_pictures_are_near_none_but_still_copies():
    white, whiter, snow = (Image.new("RGB", (20, 20), (v, v, v)) for v in (250, 255, 255))
    prints = np.stack([fingerprint(image) for image in (white, whiter, snow)])
    assert is_even(prints).all()
    assert len(near_pairs(prints)[0]) == 0
    assert first_copies(prints).tolist() == [0, 1, 1]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(1, 6), st.floats(0, 20))
def test_the_fast_search_finds_what_comparing_all_finds(seed, families, members, noise):
    prints = album(seed, families, members, noise)
    pairs, is_all = near_pairs(prints)
    assert is_all
    assert pairs.tolist() == slow_pairs(prints)


def test_the_fast_search_is_tried_on_both_sides_of_its_limits():
    """The property above would be empty if all distances were far from the limit."""
    distances, found = [], 0
    for seed in range(10):
        prints = album(seed, 3, 5, 8)
        hashes = difference_hashes(prints["grey"])
        distances += [np.bitwise_count(a ^ b).sum() for a, b in combinations(hashes, 2)]
        found += len(near_pairs(prints)[0])
    assert {BITS - 1, BITS, BITS + 1} <= set(distances)
    assert found > 20


@pytest.mark.parametrize("bands", [(0, 1), (5, 13), (12, 13)])
def test_twelve_bits_in_twelve_bands_are_found_whichever_bands_are_left(bands):
    """The worst case of the pigeonhole principle: every other band differs."""
    bits = [band for band in range(BITS + 2) if band not in bands]
    one = np.random.default_rng(0).integers(0, 2**63, 2, dtype=np.uint64)
    other = one.copy()
    for bit in bits:
        other[0] ^= np.uint64(1) << np.uint64(bit)
    keys = [key.tolist() for key in duplicates._keys(np.stack([one, other]))]
    assert len(keys) == 91
    assert sum(a == b for a, b in keys) == 1


@pytest.mark.parametrize("limit", ["_COMPARISONS", "MOST_PAIRS"])
def test_too_many_near_pictures_are_cut_short_and_said_to_be(monkeypatch, limit):
    prints = album(0, 1, 30, 1)
    everything, is_all = near_pairs(prints)
    assert (len(everything), is_all) == (30 * 29 // 2, True)
    monkeypatch.setattr(duplicates, limit, 60)
    some, is_all = near_pairs(prints)
    assert not is_all
    assert 0 < len(some) < len(everything)
    assert {tuple(pair) for pair in some.tolist()} <= {tuple(pair) for pair in everything.tolist()}
    assert limit == "_COMPARISONS" or len(some) <= 60


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


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=20))
def test_groups_are_what_can_be_reached(pairs):
    def reach(item: int) -> list[int]:
        seen = {item}
        for _ in pairs:
            seen |= {x for pair in pairs if seen & set(pair) for x in pair}
        return sorted(seen)

    groups = {tuple(reach(item)) for pair in pairs for item in pair}
    assert connected(pairs) == sorted(list(group) for group in groups if len(group) > 1)
