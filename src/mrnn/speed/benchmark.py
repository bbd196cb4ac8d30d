"""The table of speeds behind `mrnn benchmark`: ratios measured in one run on one machine."""

from __future__ import annotations

import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from ..captioner import load
from ..config import ModelConfig, TrainConfig
from ..devices import has_bf16, processors, reduced_precision
from ..errors import UsageError
from ..images.encoders import DEFAULT, Encoder, open_encoder
from ..images.features import BATCH
from ..images.reading import preprocess, read_image
from ..library.library import Library
from ..measuring import REPEATS, Row, gemm_flops, seconds, timed
from ..model.mrnn import MRNN
from ..scoring.pairs import Pairs
from ..training.fit import Fit, captions_phase
from ..words.packing import Corpus
from .retrieval import ROWS as RETRIEVAL_ROWS
from .server import AIM, MEANING, server_row

_CPU = torch.device("cpu")
_VOCABULARY, _FEATURE = 2539, 1280  # those of the plain bundle
_BATCHES = 24  # of 128 sentences, for the training rows
_SIZES = ((500, 375), (1024, 768), (375, 500), (1600, 1200), (640, 480), (3000, 4000))  # of photos


def run_rows(names: Sequence[str], data: Path | None = None) -> Iterator[Row]:
    """Measure the rows with these names, or all; raises UsageError for an unknown one.

    The retrieval rows take the dev split of `data`, or sampled sentences without.
    """
    for name in names:
        if name not in ROWS and name not in RETRIEVAL_ROWS:
            known = ", ".join([*ROWS, *RETRIEVAL_ROWS])
            raise UsageError(f"unknown row {name!r}; known: {known}")
    for name in names or [*ROWS, *RETRIEVAL_ROWS]:
        yield ROWS[name]() if name in ROWS else RETRIEVAL_ROWS[name](data)


def _training() -> Row:
    train, words, macs = _training_data()
    peak = gemm_flops(torch.bfloat16 if has_bf16(_CPU) else torch.float32)
    speed = _training_speed(train, words)
    return Row(
        "training",
        "achieved FLOP/s over the peak of matrix products",
        ">= 0.65",
        6 * macs * speed / peak,
        {"words/s": speed, "GFLOP/s": 6 * macs * speed / 1e9, "peak GFLOP/s": peak / 1e9},
    )


def _training_lstm() -> Row:
    train, words, _ = _training_data()
    lstm = _lstm_speed(train)
    ours = _training_speed(train, words)
    return Row(
        "training-lstm",
        "words/s over an LSTM captioner on sorted padded batches",
        ">= 3",
        ours / lstm,
        {"words/s": ours, "LSTM words/s": lstm},
    )


def _encoder() -> Row:
    meaning = f"{DEFAULT} images/s over the reference network in PyTorch"
    if importlib.util.find_spec("efficientnet_lite_pytorch") is None:
        return Row("encoder", meaning, ">= 3", skipped="efficientnet_lite_pytorch is not installed")
    from efficientnet_lite_pytorch import EfficientNet

    encoder = open_encoder(DEFAULT)
    reference = EfficientNet.from_name(DEFAULT).eval()
    side = encoder.preprocessing.size
    pixels = np.random.default_rng(0).standard_normal((32, 3, side, side), dtype=np.float32)
    batch = torch.from_numpy(pixels)
    ours = len(pixels) / seconds(lambda: encoder.encode(pixels))

    def theirs(layout: torch.memory_format) -> float:
        network, images = reference.to(memory_format=layout), batch.to(memory_format=layout)
        with torch.inference_mode():
            return len(pixels) / seconds(lambda: network.extract_features(images))

    best = max(theirs(torch.contiguous_format), theirs(torch.channels_last))
    return Row(
        "encoder", meaning, ">= 3", ours / best, {"images/s": ours, "reference images/s": best}
    )


def _folder() -> Row:
    captioner = load(device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        paths = _photos(Path(folder), 256)
        alone = _alone(captioner.encoder, paths, 3)
        whole = len(paths) / seconds(lambda: list(captioner.caption_many(paths)), 3)
    return Row(
        "folder",
        "caption a folder: images/s over 1/(1/decode + 1/encode)",
        ">= 0.85",
        whole * sum(1 / speed for speed in alone.values()),
        {"images/s": whole, **alone},
    )


def _index() -> Row:
    captioner = load(device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos"
        photos.mkdir()
        paths = _photos(photos, 1000, _SIZES)
        before = _alone(captioner.encoder, paths, 1)
        with Library.open(Path(folder) / "library", captioner) as library:
            whole = len(paths) / timed(lambda: library.add([photos]))[0]
        after = _alone(captioner.encoder, paths, 1)  # the machine may have become slower meanwhile
    alone = {name: (speed + after[name]) / 2 for name, speed in before.items()}
    return Row(
        "index",
        "index 1,000 photos of mixed sizes, with captions: images/s over 1/(1/decode + 1/encode)",
        ">= 0.85",
        whole * sum(1 / speed for speed in alone.values()),
        {"images/s": whole, **alone},
    )


def _alone(encoder: Encoder, paths: Sequence[Path], repeats: int) -> dict[str, float]:
    """Images a second of decoding and of encoding, each on its own on all cores."""
    how = encoder.preprocessing

    def decode(path: Path) -> np.ndarray:
        return preprocess(read_image(path, how.least_side), how)

    def decode_all() -> list[np.ndarray]:
        with ThreadPoolExecutor(processors()) as pool:
            return list(pool.map(decode, paths))

    pixels = decode_all()
    batches = [np.stack(pixels[i : i + BATCH]) for i in range(0, len(pixels), BATCH)]
    return {
        "decode images/s": len(paths) / seconds(decode_all, repeats),
        "encode images/s": len(paths)
        / seconds(lambda: [encoder.encode(batch) for batch in batches], repeats),
    }


def _blip() -> Row:
    meaning = "caption: images/s over BLIP-base (random weights, greedy, 12 words)"
    if importlib.util.find_spec("transformers") is None:
        return Row("blip", meaning, ">= 100", skipped="transformers is not installed")
    from transformers import BlipConfig, BlipForConditionalGeneration

    captioner = load(device="cpu")
    blip = BlipForConditionalGeneration(BlipConfig()).eval()
    pixels = torch.randn(2, 3, 384, 384)
    with torch.inference_mode():
        theirs = len(pixels) / seconds(
            lambda: blip.generate(pixel_values=pixels, max_new_tokens=12, min_new_tokens=12), 1
        )
    with tempfile.TemporaryDirectory() as folder:
        paths = _photos(Path(folder), 128)
        ours = len(paths) / seconds(lambda: list(captioner.caption_many(paths)), 3)
    return Row(
        "blip", meaning, ">= 100", ours / theirs, {"images/s": ours, "BLIP images/s": theirs}
    )


def _cold_start() -> Row:
    with tempfile.TemporaryDirectory() as folder:
        [photo] = _photos(Path(folder), 1)

        def run(*arguments: str) -> None:
            subprocess.run([sys.executable, *arguments], check=True, capture_output=True)  # noqa: S603

        imports = partial(run, "-c", "import torch, onnxruntime")
        caption = partial(run, "-m", "mrnn", "caption", str(photo))
        pairs = [(seconds(caption, 1), seconds(imports, 1)) for _ in range(REPEATS)]
    ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    return Row(
        "cold-start",
        "`mrnn caption one.jpg` over importing torch and onnxruntime",
        "<= 1.5",
        ours / theirs,
        {"seconds": ours, "imports seconds": theirs},
    )


def _server() -> Row:
    if importlib.util.find_spec("uvicorn") is None:
        return Row("server", MEANING, AIM, skipped="uvicorn is not installed")
    captioner = load(device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        return server_row(captioner, _photos(Path(folder), 256))


ROWS: Mapping[str, Callable[[], Row]] = {
    "training": _training,
    "training-lstm": _training_lstm,
    "encoder": _encoder,
    "folder": _folder,
    "index": _index,
    "server": _server,
    "blip": _blip,
    "cold-start": _cold_start,
}


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
    model = MRNN(ModelConfig(_VOCABULARY, _FEATURE)).initialise(torch.Generator().manual_seed(0))
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
        inputs = nn.utils.rnn.pad_sequence(packed.by_sentence(packed.inputs), batch_first=True)
        targets = nn.utils.rnn.pad_sequence(packed.by_sentence(packed.targets), batch_first=True)
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


def _photos(
    folder: Path, count: int, sizes: Sequence[tuple[int, int]] = ((500, 375),)
) -> list[Path]:
    """Write JPEGs of these sizes in pixels, by turns, about as heavy as photographs; list them."""
    draw = np.random.default_rng(0)
    paths = []
    for i, size in zip(range(count), cycle(sizes), strict=False):
        coarse = Image.fromarray(draw.integers(0, 256, (47, 63, 3), dtype=np.uint8))
        path = folder / f"{i:04}.jpg"
        coarse.resize(size, Image.Resampling.BICUBIC).save(path, quality=90)
        paths.append(path)
    return paths
