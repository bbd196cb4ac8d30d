"""Heat as colours: warm for, blue against, faint where little, in the right place."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mrnn.pages.heat_map import COLD, WARM, bar_length, label, overlay, scales, tint
from mrnn.results import Contributions, Evidence

NOTHING = Contributions(0, 0, 0)


def of(*heat):
    return Evidence(-1, NOTHING, heat)


def test_what_speaks_for_a_word_is_warm_and_against_it_cold():
    small = np.asarray(tint([[1.0, 0.0], [-0.5, 2.0]], 1))
    assert small.shape == (2, 2, 4)
    assert tuple(small[0, 0, :3]) == WARM
    assert tuple(small[1, 0, :3]) == COLD
    strongest = small[0, 0, 3]
    assert small[0, 1, 3] == 0
    assert small[1, 0, 3] == pytest.approx(strongest / 2, abs=1)
    assert small[1, 1, 3] == strongest  # no more than full


def test_a_bar_is_full_at_8_nats():
    assert [bar_length(nats) for nats in (0, 2, -4, 8, -100)] == [0, 0.25, 0.5, 1, 1]


def test_no_heat_at_all_is_clear():
    assert np.asarray(tint([[0.0]], 0))[0, 0, 3] == 0


def test_faint_words_stay_faint():
    evidence = [of((1.0, -4.0)), of((0.5, 0.1)), of((2.0, 0.0)), Evidence(-1, NOTHING, ())]
    assert scales(evidence) == [4, 1, 2, 1]
    assert scales([]) == []


def test_rows_are_rows_and_columns_columns():
    photo = Image.new("RGB", (90, 60), "white")
    found = np.asarray(overlay(photo, [[0, 0, 1.0], [0, 0, 0]], 1, (0, 0, 1, 1))).astype(int)
    assert found.shape == (60, 90, 3)
    assert (found[10, 80] == 255).sum() == 0
    assert (found[50, 10] == 255).all()
    assert (found[10, 10] == 255).all()
    assert found[10, 80, 0] > found[10, 80, 2]  # warm


def test_heat_lies_only_over_its_area():
    photo = Image.new("RGB", (100, 50), "white")
    found = np.asarray(overlay(photo, [[1.0]], 1, (0.25, 0, 0.75, 1)))
    changed = (found != 255).any(2)
    assert changed[:, 25:75].all()
    assert not changed[:, :25].any()
    assert not changed[:, 75:].any()


def test_the_photo_is_paler_so_that_heat_is_seen_on_red_things():
    photo = Image.new("RGB", (8, 8), "red")
    found = np.asarray(overlay(photo, [[0.0]], 1, (0, 0, 1, 1)))[0, 0].astype(int)
    assert found.max() - found.min() < 100


def test_a_tiny_photo_can_be_drawn_on():
    assert overlay(Image.new("RGB", (1, 1)), [[1.0] * 9] * 9, 1, (0, 0, 1, 1)).size == (1, 1)


def test_signs_are_put_in_plain_words():
    assert label("##UNK##") == "(unknown word)"
    assert label("##END##") == "(end)"
    assert label("dog") == "dog"
