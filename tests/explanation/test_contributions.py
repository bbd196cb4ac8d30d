"""Contributions to log P: they sum to the difference from the baseline, by every road."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conftest import tiny_model
from mrnn.explanation.contributions import explain, position_terms
from mrnn.words.packing import Corpus
from mrnn.words.text import END, START

SENTENCES = [[4, 5, 6], [], [7], [3, 3, 11, 4, 9, 4], [5]]


def case(seed: int = 0, sentences: list[list[int]] = SENTENCES, strength: float = 3.0):
    """A model with opinions, packed sentences, an image term each, and the usual one."""
    model = tiny_model(seed=seed)
    model.wo.mul_(strength)
    model.wo_bias.normal_(generator=torch.Generator().manual_seed(seed))
    model.vw_bias.normal_(generator=torch.Generator().manual_seed(seed + 1))
    model.we_bias.normal_(generator=torch.Generator().manual_seed(seed + 2))
    terms = torch.randn(len(sentences), 7, generator=torch.Generator().manual_seed(seed + 3))
    usual = torch.randn(7, generator=torch.Generator().manual_seed(seed + 4))
    packed = Corpus(sentences).pack()
    return model, packed, terms[packed.order], usual


def log_probabilities(model, packed, terms):
    return model(packed, terms).log_softmax(1).gather(1, packed.targets[:, None])[:, 0]


@pytest.mark.parametrize("seed", range(5))
def test_parts_and_baseline_sum_to_log_p(seed):
    model, packed, terms, usual = case(seed)
    parts = explain(model, packed, terms, usual)
    total = parts.baseline + parts.last_word + parts.sentence + parts.image
    assert (total - log_probabilities(model, packed, terms)).abs().max() < 1e-3


@given(st.lists(st.lists(st.integers(3, 11), max_size=6), min_size=1, max_size=4), st.integers(0))
def test_parts_sum_for_any_sentences(sentences, seed):
    model, packed, terms, usual = case(seed % 1000, sentences)
    parts = explain(model, packed, terms, usual)
    total = parts.baseline + parts.last_word + parts.sentence + parts.image
    assert len(total) == sum(len(sentence) + 1 for sentence in sentences)
    assert (total - log_probabilities(model, packed, terms)).abs().max() < 1e-3


def naive(model, sentence: list[int], term: torch.Tensor, usual: torch.Tensor, steps: int = 400):
    """Word by word, equation by equation, with torch's own gradients and many equal steps."""
    results = []
    r = torch.zeros(5)
    for word, target in zip([START, *sentence], [*sentence, END], strict=True):
        w = model.we @ model.embedding[word] + model.we_bias
        r = torch.relu(model.ur @ r + w)
        pieces = [model.vw @ w, model.vr @ r, term - usual]
        start = model.vw_bias + usual

        def log_p(x, target=target):
            m = 1.7159 * torch.tanh(2 / 3 * x)
            return torch.log_softmax(model.wo @ m + model.wo_bias, 0)[target]

        gradient = torch.zeros(7)
        for step in range(steps):
            x = (start + (step + 0.5) / steps * sum(pieces)).requires_grad_()
            gradient += torch.autograd.grad(log_p(x), x)[0] / steps
        results.append([log_p(start).item(), *(float(gradient @ piece) for piece in pieces)])
    return torch.tensor(results)


def test_parts_are_those_of_the_definition():
    model, packed, terms, usual = case()
    found = explain(model, packed, terms, usual)
    every = torch.stack([found.baseline, found.last_word, found.sentence, found.image], 1)
    by_row = torch.argsort(packed.order)
    for i, part in enumerate(packed.by_sentence(every)):
        expected = naive(model, SENTENCES[i], terms[by_row[i]], usual)
        assert torch.allclose(part, expected, atol=2e-4)


def test_what_has_no_say_gets_no_part():
    model, packed, terms, _ = case()
    parts = explain(model, packed, terms[:1].expand(len(SENTENCES), -1), terms[0])
    assert parts.image.abs().max() < 1e-6  # the image is the usual one
    model.vw.zero_()
    assert explain(model, packed, terms, terms[0]).last_word.abs().max() == 0
    model.vr.zero_()
    assert explain(model, packed, terms, terms[0]).sentence.abs().max() == 0


def test_long_sentences_are_done_in_pieces(monkeypatch):
    model, packed, terms, usual = case(sentences=[[4, 5, 6] * 10, [7] * 5])
    whole = explain(model, packed, terms, usual)
    monkeypatch.setattr("mrnn.explanation.contributions._ROWS", 4)
    pieces = explain(model, packed, terms, usual)
    assert torch.allclose(whole.gradients, pieces.gradients, atol=1e-6)


@pytest.mark.parametrize("positions", [1, 4, 9])
def test_the_image_term_is_a_sum_over_positions(positions):
    model = tiny_model()
    generator = torch.Generator().manual_seed(positions)
    found = torch.randn(positions, 6, generator=generator) * 5
    terms = position_terms(model, found)
    assert terms.shape == (positions, 7)
    expected = model.image_terms(found.mean(0, keepdim=True))[0]
    assert torch.allclose(terms.sum(0), expected, atol=1e-5)
    twice = position_terms(model, 2 * found)  # blind to the encoder's gain, as the model is
    assert torch.allclose(twice, terms, atol=1e-5)


def test_positions_that_say_nothing_are_no_nan():
    assert position_terms(tiny_model(), torch.zeros(4, 6)).abs().max() == 0


def test_nodes_are_doubled_where_they_do_not_suffice(monkeypatch):
    model, packed, terms, usual = case(strength=12)
    expected = log_probabilities(model, packed, 20 * terms)
    errors = []
    for most in (16, 256):
        monkeypatch.setattr("mrnn.explanation.contributions._MOST_NODES", most)
        parts = explain(model, packed, 20 * terms, usual)
        total = parts.baseline + parts.last_word + parts.sentence + parts.image
        errors.append(float((total - expected).abs().max()))
    assert errors[0] > 1e-2
    assert errors[1] < 1e-3
