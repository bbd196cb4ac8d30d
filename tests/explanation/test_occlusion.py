"""Parts of a square picture, filled with grey, and what words lose by it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libraries import SIDE, seeing
from mrnn.explanation.occlusion import cells, filled, fit, losses, occlusion_heat, random_quarters
from mrnn.images.reading import Preprocessing
from mrnn.words.packing import Corpus


@given(st.integers(1, 40), st.integers(1, 9))
def test_parts_share_out_the_square(size, side):
    masks = cells(size, side)
    assert masks.shape == (side * side, size, size)
    assert (masks.sum(0) == 1).all()
    if size >= side:
        areas = masks.sum((1, 2))
        assert areas.min() >= (size // side) ** 2
        assert areas.max() <= (-(-size // side)) ** 2


def test_parts_come_row_by_row():
    masks = cells(4, 2)
    assert np.argwhere(masks[1]).tolist() == [[0, 2], [0, 3], [1, 2], [1, 3]]
    assert np.argwhere(masks[2]).tolist() == [[2, 0], [2, 1], [3, 0], [3, 1]]


def test_grey_is_127_whatever_the_preprocessing():
    how = Preprocessing(2, mean=(100.0, 127.0, 130.0), scale=(9.0, 5.0, 3.0))
    pixels = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    mask = np.array([[[True, False], [False, False]], [[False, False], [True, True]]])
    found = filled(pixels, mask, how)
    assert found.shape == (2, 3, 2, 2)
    assert found.dtype == np.float32
    assert found[0, :, 0, 0].tolist() == [3, 0, -1]
    assert found[1, :, 1, 1].tolist() == [3, 0, -1]
    assert (found[0].reshape(3, 4)[:, 1:] == pixels.reshape(3, 4)[:, 1:]).all()
    assert (found[1, :, 0] == pixels[:, 0]).all()


@pytest.mark.parametrize("count", [0, 1, 40])
def test_losses_are_those_of_one_picture_after_another(count):
    captioner = seeing()
    generator = np.random.default_rng(0)
    pixels = generator.normal(size=(3, SIDE, SIDE)).astype(np.float32)
    masks = generator.random((count, SIDE, SIDE)) < 0.3
    feature = captioner.encoder.encode(pixels[None])[0]
    packed = Corpus([captioner.vocabulary.encode("a dog sits")]).pack()
    found = losses(captioner.model, captioner.encoder, packed, pixels, feature, masks)
    assert found.shape == (4, count)
    for mask, lost in zip(masks, found.T, strict=True):
        grey = np.where(mask, np.float32(0), pixels)  # 127 is 0 in this preprocessing
        one, other = (
            captioner.score_feature(captioner.encoder.encode(p[None])[0], ["a dog sits"])[0]
            for p in (pixels, grey)
        )
        expected = [a.logprob - b.logprob for a, b in zip(one.words, other.words, strict=True)]
        np.testing.assert_allclose(lost, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("side", "hidden"), [(1, 1), (2, 1), (3, 2), (4, 4), (7, 12)])
def test_a_quarter_of_the_parts_is_hidden_at_once(side, hidden):
    quarters = random_quarters(side)
    assert quarters.shape == (64, side * side)
    assert set(quarters.sum(1)) == {hidden}
    assert (quarters == random_quarters(side)).all()
    if side == 7:
        assert set(quarters.sum(0)) <= {14, 15, 16}  # each part as often as the others
        assert len({tuple(q) for q in quarters.tolist()}) == 64


def test_the_fit_is_that_of_ridge_regression_with_alike_neighbours():
    hidden = random_quarters(4, 10)
    lost = np.random.default_rng(0).normal(size=10)
    prior = np.zeros((16, 16))
    for a in range(16):
        for b in range(16):
            away = (a // 4 - b // 4) ** 2 + (a % 4 - b % 4) ** 2
            prior[a, b] = np.exp(-away / (2 * 1.2**2)) + (a == b)
    x = hidden.astype(float)
    noise = 0.2 * np.mean([row @ prior @ row for row in x])
    expected = np.linalg.solve(x.T @ x / noise + np.linalg.inv(prior), x.T @ lost / noise)
    assert np.allclose(fit(hidden, 4) @ lost, expected, atol=1e-5)


def test_the_part_that_matters_is_the_hottest():
    """An encoder that sees nothing but one corner."""
    captioner = seeing()
    pixels = np.zeros((3, SIDE, SIDE), np.float32)
    pixels[:, 0, 3] = 5
    feature = captioner.encoder.encode(pixels[None])[0]
    packed = Corpus([captioner.vocabulary.encode("a dog sits")]).pack()
    heat = occlusion_heat(captioner.model, captioner.encoder, packed, pixels, feature)
    assert heat.shape == (4, 16)
    assert (np.abs(heat).argmax(1) == 3).all()
