"""The rows of `mrnn benchmark` about learning, and those that compare with networks in PyTorch."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ..captioner import load
from ..config import ModelConfig, TrainConfig
from ..images.encoders import DEFAULT
from ..images.networks import network, read_weights, read_whole_numbers
from ..measuring import gemm_flops, seconds
from ..scoring.pairs import Pairs
from ..training.devices import has_bf16, reduced_precision
from ..training.fit import Fit, captions_phase
from ..training.image_network import TrainableEncoder
from ..training.network import TrainableMRNN
from ..words.packing import Corpus, Packed
from .photos import write_photos

_CPU = torch.device("cpu")
_VOCABULARY, _FEATURE = 2539, 1280  # those of the bundle `plain`
_BATCHES = 24  # of 128 sentences
_ENCODED = 32  # images at once
_LEARNED, _BLOCKS = 25, 7  # pictures of an update, and the last blocks, of configs/learned.toml

Measured = tuple[float, dict[str, float]]  # the ratio, and what was divided


def training() -> Measured:
    """FLOP/s that training achieves over the best of torch."""
    train, words, macs = _training_data()
    precision = torch.bfloat16 if has_bf16(_CPU) else torch.float32
    peak = gemm_flops(partial(_product, precision))
    speed = _training_speed(train, words)
    return 6 * macs * speed / peak, {
        "words/s": speed,
        "GFLOP/s": 6 * macs * speed / 1e9,
        "peak GFLOP/s": peak / 1e9,
    }


def training_lstm() -> Measured:
    """Words a second of training over those of an LSTM."""
    train, words, _ = _training_data()
    lstm = _lstm_speed(train)
    ours = _training_speed(train, words)
    return ours / lstm, {"words/s": ours, "LSTM words/s": lstm}


def encoder() -> Measured:
    """Images a second of the encoder over the network that its weights were published for."""
    from efficientnet_lite_pytorch import EfficientNet

    ours = load(device="cpu").encoder
    reference = EfficientNet.from_name(DEFAULT).eval()
    side = ours.preprocessing.size
    pixels = np.random.default_rng(0).standard_normal((_ENCODED, 3, side, side), dtype=np.float32)
    batch = torch.from_numpy(pixels)
    speed = len(pixels) / seconds(lambda: ours.encode(pixels))

    def theirs(layout: torch.memory_format) -> float:
        network, images = reference.to(memory_format=layout), batch.to(memory_format=layout)
        with torch.inference_mode():
            return len(pixels) / seconds(lambda: network.extract_features(images))

    best = max(theirs(torch.contiguous_format), theirs(torch.channels_last))
    return speed / best, {"images/s": speed, "reference images/s": best}


def image_learning() -> Measured:
    """Pictures a second that the last blocks learn from, over the same with all in floats."""
    found = load(device="cpu", precision=8).encoder
    assert found.file is not None  # noqa: S101 - it is shipped with its network
    known = network(found.name)
    weights, whole = read_weights(known, found.file), read_whole_numbers(known, found.file)
    side = found.preprocessing.size
    pixels = np.random.default_rng(0).uniform(-1, 1, (_LEARNED, 3, side, side)).astype(np.float32)

    def speed(trainable: TrainableEncoder) -> float:
        trainable.parameters(_BLOCKS)

        def learn() -> None:
            with reduced_precision(_CPU):
                features = trainable.features(pixels)
            features.square().sum().backward()

        return len(pixels) / seconds(learn)

    ours = speed(TrainableEncoder(known, weights, whole=whole))
    floats = speed(TrainableEncoder(known, weights))
    return ours / floats, {"pictures/s": ours, "floats pictures/s": floats}


def blip() -> Measured:
    """Images a second over a large captioner with random weights."""
    from transformers import BlipConfig, BlipForConditionalGeneration

    captioner = load(device="cpu")
    model = BlipForConditionalGeneration(BlipConfig()).eval()
    pixels = torch.randn(2, 3, 384, 384)
    with torch.inference_mode():
        theirs = len(pixels) / seconds(
            lambda: model.generate(pixel_values=pixels, max_new_tokens=12, min_new_tokens=12), 1
        )
    with tempfile.TemporaryDirectory() as folder:
        paths = write_photos(Path(folder), 128)
        ours = len(paths) / seconds(lambda: list(captioner.caption_many(paths)), 3)
    return ours / theirs, {"images/s": ours, "BLIP images/s": theirs}


MEASURES: Mapping[str, Callable[[], Measured]] = {
    "training": training,
    "training-lstm": training_lstm,
    "image-learning": image_learning,
    "encoder": encoder,
    "blip": blip,
}


def _product(precision: torch.dtype, side: int) -> Callable[[], object]:
    a, b = torch.randn(2, side, side, dtype=precision)
    return lambda: a @ b


def _training_data() -> tuple[Pairs, int, float]:
    """Random sentences with Flickr8K's lengths, their words, and multiply-adds a word."""
    draw = np.random.default_rng(0)
    lengths = np.clip(draw.normal(10.8, 3.8, 128 * _BATCHES).round(), 2, 36).astype(int)
    corpus = Corpus([draw.integers(4, _VOCABULARY, n).tolist() for n in lengths])
    features = draw.random((256, _FEATURE), dtype=np.float32)
    pairs = Pairs(corpus, draw.integers(0, 256, len(corpus)), features)
    c = ModelConfig()
    a_word = (
        c.recurrent * (c.embedding + c.recurrent)
        + c.multimodal * (2 * c.recurrent + _VOCABULARY)
        + c.multimodal * _FEATURE * len(corpus) / corpus.lengths.sum()
    )
    return pairs, int(corpus.lengths.sum()), a_word


def _training_speed(pairs: Pairs, words: int) -> float:
    """Words a second of the second epoch of real training, evaluation left out."""
    network = TrainableMRNN(ModelConfig(_VOCABULARY, _FEATURE))
    model = network.initialise(torch.Generator().manual_seed(0))
    few = Pairs(Corpus([[4]]), np.zeros(1, dtype=np.int64), pairs.features)
    config = TrainConfig(epochs=2, patience=2)
    steps = list(Fit(model, captions_phase(model, pairs, few, config), config).run())
    return words / steps[-1].seconds


class _LSTMCaptioner(nn.Module):
    """An ordinary captioner: the image is the first input of an LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(_VOCABULARY, 128)
        self.image = nn.Linear(_FEATURE, 128)
        self.lstm = nn.LSTM(128, 512, batch_first=True)
        self.output = nn.Linear(512, _VOCABULARY)

    def forward(self, features: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """Logits (B, T, V) from image features (B, D) and padded words (B, T)."""
        inputs = torch.cat((self.image(features)[:, None], self.embedding(words)), 1)
        return self.output(F.dropout(self.lstm(inputs)[0][:, 1:], 0.5))


def _lstm_speed(pairs: Pairs) -> float:
    model = _LSTMCaptioner()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    order = np.argsort(pairs.corpus.lengths, kind="stable")
    batches = [order[i : i + 128] for i in range(0, len(order), 128)]
    started, words = 0.0, 0
    for i, chosen in enumerate([batches[len(batches) // 2], *batches]):
        if i == 1:  # the first one warms up
            started = time.perf_counter()
        packed = pairs.corpus.pack(chosen)
        inputs, targets = _padded(packed, packed.inputs), _padded(packed, packed.targets)
        features = torch.from_numpy(np.asarray(pairs.features[pairs.images[chosen]]))
        with reduced_precision(_CPU):
            logits = model(features, inputs)
            loss = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=0)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        words += len(packed.targets) if i else 0
    return words / (time.perf_counter() - started)


def _padded(packed: Packed, words: np.ndarray) -> torch.Tensor:
    """Packed words (N,) as a row a sentence, zeros after each, (B, T)."""
    parts = [torch.from_numpy(part) for part in packed.by_sentence(words)]
    return nn.utils.rnn.pad_sequence(parts, batch_first=True)
