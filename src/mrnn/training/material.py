"""What a training run learns from: vocabulary, sentences with features, the model as it begins."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from ..config import ModelConfig, TrainConfig
from ..datasets import DataSet, Example
from ..errors import DataError, ImageError
from ..evaluation.reading import FeatureSource, read_pairs
from ..images.encoders import Encoder
from ..images.features import OnProgress
from ..model.bundle import Bundle, EncoderIdentity
from ..model.mrnn import MRNN
from ..scoring.pairs import Pairs
from ..words.packing import Corpus
from ..words.text import SIGNS, Vocabulary, tokenise
from .prototypes import Prototypes

# What learning begins with: a trained model or None, sizes as wanted, a seed.
FirstModel = Callable[[MRNN | None, ModelConfig, int], MRNN]

_TEXT_COUNT = 20  # how often captions and texts together must say a word that captions lack
_NAMED_COUNT = 4  # the same for a word that has prototypes
_SEEN = 100  # captions with a word, from which on they say how it looks,
_NARROW = 10  # unless it has so few prototypes that these say it better
PRIOR_IMAGES = 1000  # training images whose features a bundle carries
_HASHED = 1024  # images at once


@dataclass(frozen=True)
class ImageSide:
    """Where the features of pictures come from, and what encoder they are of."""

    source: FeatureSource
    encoder: Encoder

    @property
    def identity(self) -> EncoderIdentity:
        """What a bundle remembers of the encoder."""
        return EncoderIdentity(self.encoder.name, self.encoder.digest, self.encoder.preprocessing)


@dataclass(frozen=True, eq=False)
class Wordstock:
    """Words whose looks captions hardly tell, with their prototypes."""

    prototypes: Mapping[int, Sequence[int]]  # rows of the vectors, by the words' indices
    vectors: np.ndarray  # (N, D) float32, of length 1
    plurals: frozenset[int]  # those of the words that are


@dataclass(frozen=True)
class Material:
    """All that the phases of a run learn from."""

    bundle: Bundle  # not yet trained, or what is gone on from
    train: Pairs
    dev: Pairs
    text: Corpus  # sentences without pictures
    train_examples: Sequence[Example]  # in the order of the features
    dev_examples: Sequence[Example]
    prior_rows: np.ndarray  # (P,) training images whose features the bundle carries
    errors: tuple[ImageError, ...]  # of images left out
    words: Wordstock | None = None  # what is known of words that captions lack

    def sentences_fingerprint(self) -> str:
        """What tells the vocabulary and the sentences from any others."""
        hasher = hashlib.sha256(self.bundle.vocabulary.to_json().encode())
        for corpus in (self.train.corpus, self.dev.corpus, self.text):
            hasher.update(corpus.digest())
        return hasher.hexdigest()

    def fingerprint(self) -> str:
        """What tells all of this from anything else: sentences, first weights and features."""
        hasher = hashlib.sha256(self.sentences_fingerprint().encode())
        for _, weights in sorted(self.bundle.model.weights.items()):
            hasher.update(weights.tobytes())
        if self.words:
            hasher.update(self.words.vectors.tobytes())
            of_words = sorted((word, tuple(own)) for word, own in self.words.prototypes.items())
            hasher.update(repr((of_words, sorted(self.words.plurals))).encode())
        for pairs in (self.train, self.dev):
            for start in range(0, len(pairs.features), _HASHED):
                rows = np.arange(start, min(start + _HASHED, len(pairs.features)))
                hasher.update(np.ascontiguousarray(pairs.features[rows]).tobytes())
        return hasher.hexdigest()


def prepare(
    data: DataSet,
    images: ImageSide,
    sizes: ModelConfig,
    config: TrainConfig,
    text: Sequence[str],
    start: Bundle | None,
    first: FirstModel,
    on_features: OnProgress,
    prototypes: Prototypes | None = None,
) -> Material:
    """Read and encode everything; raises DataError when a split cannot be used.

    The vocabulary is that of the captions of training pictures that can be read, of `start` where
    it is given, and with `prototypes` that of the text. A sentence of `text` that is also a dev or
    test caption is left out.
    """
    train_split, dev_split = data.split("train"), data.split("dev")
    text = _without_held_out(text, data) if text else []

    def words_of(examples: Iterable[Example]) -> Vocabulary:
        captions = [sentence for example in examples for sentence in example.sentences]
        known = start.vocabulary if start else None
        found = Vocabulary.build(captions, config.minimum_count, known)
        if len(found) == len(SIGNS):
            raise DataError(
                f"{data.name}: no word is said {config.minimum_count} times in the training "
                "captions; more are needed, or a lower minimum count"
            )
        if prototypes:
            found = _grown(found, captions, text, prototypes)
        return found.counted(captions)

    vocabulary = words_of(train_split)  # what is wrong with it is told before features are made
    train, used, errors = read_pairs(train_split, vocabulary, images.source, on_features)
    if errors:  # what was said of these pictures alone is not learned
        vocabulary = words_of(used)
        train, _, _ = read_pairs(used, vocabulary, images.source, on_features)
    dev, dev_used, dev_errors = read_pairs(dev_split, vocabulary, images.source, on_features)
    sizes = replace(sizes, vocabulary=len(vocabulary), feature=images.encoder.dimension)
    model = first(start.model if start else None, sizes, config.seed)
    drawn = np.random.default_rng(config.seed).permutation(len(used))[:PRIOR_IMAGES]
    prior_rows = np.sort(drawn)
    bundle = Bundle(
        model,
        vocabulary,
        images.identity,
        np.asarray(train.features[prior_rows], dtype=np.float16),
        {
            "data": data.name,
            "split": "train",
            "split_origin": data.split_origin,
            "stopped_on": "dev",
            "images": len(used),
            "sentences": len(train.corpus),
            "text_sentences": len(text),
            "config": asdict(config),
        },
        encoder_file=images.encoder.file,
    )
    words = _wordstock(vocabulary, prototypes) if prototypes else None
    return Material(
        bundle,
        train,
        dev,
        Corpus([vocabulary.encode(sentence) for sentence in text]),
        used,
        dev_used,
        prior_rows,
        (*errors, *dev_errors),
        words,
    )


def _grown(
    vocabulary: Vocabulary,
    captions: Iterable[str],
    text: Iterable[str],
    prototypes: Prototypes,
) -> Vocabulary:
    """The vocabulary, and after its words those of the text that are frequent or have prototypes.

    What has prototypes that no other word has is known even if no text says it. Raises DataError
    when the text has not one word with prototypes.
    """
    said = Counter(word for sentence in text for word in vocabulary.tokenise(sentence))
    if not any(word in prototypes.rows for word in said):
        raise DataError("the sentences of --text have not one word that has prototypes")
    said.update(word for sentence in captions for word in vocabulary.tokenise(sentence))

    def is_enough(word: str) -> bool:
        return said[word] >= (_NAMED_COUNT if word in prototypes.rows else _TEXT_COUNT)

    more = {word for word in said if word not in vocabulary and is_enough(word)}
    named = {prototypes.rows.get(word) for word in (*vocabulary.words, *more)}
    more.update(name for name in prototypes.names if prototypes.rows[name] not in named)
    fresh = sorted((-said[word], word) for word in more if word not in vocabulary)
    return replace(vocabulary, words=vocabulary.words + tuple(word for _, word in fresh))


def _wordstock(vocabulary: Vocabulary, prototypes: Prototypes) -> Wordstock:
    index = {word: i for i, word in enumerate(vocabulary.words)}
    rows = {i: prototypes.rows[word] for word, i in index.items() if word in prototypes.rows}
    return Wordstock(
        {i: r for i, r in rows.items() if vocabulary.captions[i] < _SEEN or len(r) <= _NARROW},
        prototypes.vectors,
        frozenset(index[word] for word in prototypes.plurals & index.keys()),
    )


def _without_held_out(text: Sequence[str], data: DataSet) -> list[str]:
    """The sentences that are no dev or test captions, whatever their case and punctuation."""
    held_out = {
        tuple(tokenise(sentence))
        for example in data.examples
        if example.split != "train"
        for sentence in example.sentences
    }
    return [sentence for sentence in text if tuple(tokenise(sentence)) not in held_out]
