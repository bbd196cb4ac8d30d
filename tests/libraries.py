"""Small photo libraries for the tests: quick captioners that see, and all that a library keeps."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from conftest import SMOOTH, TRAINING, WORDS, described, tiny_model
from mrnn.captioner import Captioner
from mrnn.images.encoders import Encoder, open_encoder
from mrnn.images.reading import Preprocessing
from mrnn.model.bundle import Bundle, EncoderIdentity, save_bundle
from mrnn.model.chance import MatchChance
from mrnn.model.threshold import MatchThreshold
from mrnn.words.text import SIGNS, UNKNOWN, Vocabulary
from onnx_models import tiny

SIDE = 4
DIMENSION = 3 * SIDE * SIDE
MULTIMODAL = SMOOTH["multimodal"]
VOCABULARY = Vocabulary(SIGNS + WORDS)


def chances(intercept: float = 0.0, log_ratio: float = 1.0) -> MatchChance:
    """By the log-ratio alone."""
    return MatchChance(intercept, log_ratio, 0.0, 0.0, 0.0, 0.0, "dev", 50, 250, (10, 50))


def threshold(intercept: float = 0.0, slope: float = 0.0) -> MatchThreshold:
    return MatchThreshold(intercept, slope, 95, "dev", 50, 250, (10, 50))


def seeing(seed: int = 2, match: MatchThreshold | None = None) -> Captioner:
    """An untrained captioner; its feature is the tiny picture itself."""

    def encode(pixels: np.ndarray) -> np.ndarray:
        return pixels.reshape(len(pixels), -1)

    encoder = Encoder("pixels", "0" * 64, DIMENSION, Preprocessing(SIDE), encode, None)
    identity = EncoderIdentity(encoder.name, encoder.digest, encoder.preprocessing)
    return Captioner(bundle(identity, DIMENSION, seed, match), encoder)


def save_seeing(
    folder: Path,
    seed: int = 2,
    match: MatchThreshold | None = None,
    chance: MatchChance | None = None,
) -> Path:
    """A bundle that `load` opens within milliseconds: its encoder is a tiny ONNX file."""
    network = folder.with_suffix(".onnx")
    weights = np.random.default_rng(0).normal(size=(3, 6))
    network.write_bytes(tiny(weights=weights))
    described = {"size": 8, "mean": 127, "scale": 60}
    network.with_suffix(".json").write_text(json.dumps(described))
    encoder = open_encoder(str(network))
    identity = EncoderIdentity(encoder.name, encoder.digest, encoder.preprocessing)
    save_bundle(replace(bundle(identity, 6, seed, match, encoder), chance=chance), folder)
    return folder


def bundle(
    identity: EncoderIdentity,
    dimension: int,
    seed: int,
    match: MatchThreshold | None,
    encoder: Encoder | None = None,
) -> Bundle:
    model = tiny_model(len(VOCABULARY), dimension, seed, **SMOOTH)
    model.wo[:] *= 4  # an untrained model is flat; this one has opinions
    model.wo[UNKNOWN] = 0  # and most of its words say something of a picture
    prior = np.random.default_rng(0).random((5, dimension)).astype(np.float16)
    file = encoder.file if encoder else None
    consensus = described(MULTIMODAL)
    return Bundle(model, VOCABULARY, identity, prior, TRAINING, (), file, match, consensus)


def dump(library: Path) -> dict[str, object]:
    """All that a library keeps, but for what SQLite numbers as it likes."""
    with closing(sqlite3.connect(library / "catalogue.sqlite")) as connection:
        found: dict[str, object] = {
            name: connection.execute(statement).fetchall()
            for name, statement in {
                "facts": "SELECT name, CAST(value AS TEXT) FROM facts WHERE name != 'vectors' "
                "ORDER BY name",
                "roots": "SELECT path FROM roots ORDER BY path",
                "contents": "SELECT digest, row, width, height, caption, perplexity, error_code, "
                "error, taken FROM contents ORDER BY digest",
                "files": "SELECT path, size, mtime_ns, offset, digest, files.error_code, "
                "files.error FROM files LEFT JOIN contents ON content = id ORDER BY path",
            }.items()
        }
        facts = dict(connection.execute("SELECT name, CAST(value AS TEXT) FROM facts"))
    shards = sorted((library / facts["vectors"]).glob("*.f16"))
    content = b"".join(shard.read_bytes() for shard in shards)
    found["vectors"] = content[: int(facts["rows"]) * MULTIMODAL * 2]
    return found


def as_format_1(catalogue: Path) -> None:
    """Make a catalogue what the first version wrote."""
    as_format_2(catalogue)
    with closing(sqlite3.connect(catalogue)) as connection, connection:
        for column in ("ctime_ns", "inode"):
            connection.execute(f"ALTER TABLE files DROP COLUMN {column}")
        connection.execute("UPDATE facts SET value = '1' WHERE name = 'format'")


def as_format_2(catalogue: Path) -> None:
    """Make a catalogue what the version before this one wrote."""
    with closing(sqlite3.connect(catalogue)) as connection, connection:
        connection.execute("ALTER TABLE contents DROP COLUMN taken")
        connection.execute("UPDATE facts SET value = '2' WHERE name = 'format'")
