"""The Captioner: one object that owns model, vocabulary and encoder."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from .config import SHIPPED, Decoding
from .devices import processors
from .errors import BundleError, ImageError, UsageError
from .explanation.evidence import find_evidence
from .images.encoders import FEATURES, Encoder, features_only, reopen_encoder
from .images.features import encode_images
from .images.finding import printable
from .images.reading import preprocess, read_image, seen_area
from .model.blocks import NUMPYS_ROWS, in_blocks, one_thread
from .model.bundle import Bundle, load_bundle
from .model.directory import find_bundle
from .model.generate import State, Step
from .onnx_sessions import choose_device
from .results import Caption, Explanation, Match, Ranking, Score
from .scoring.first_order import anchors
from .scoring.likelihoods import OnProgress, image_terms, log_likelihoods, log_prior
from .scoring.pairs import Pairs
from .scoring.queries import ANCHORS, Query, open_query
from .scoring.ranking import sentences_for
from .scoring.runners_up import with_alternatives
from .scoring.trust import Trust
from .scoring.word_scores import score_words, to_perplexity
from .words.packing import Corpus
from .words.text import END, SIGNS, Vocabulary
from .writing import Writer

_BATCH = 64  # images that are captioned together
_LOG = logging.getLogger(__name__)

ImagePath = str | os.PathLike[str]


class Captioner:
    """Captions images and scores sentences; made by `mrnn.load`.

    Safe to use from one thread at a time.
    """

    def __init__(
        self, bundle: Bundle, encoder: Encoder, device: str = "cpu", source: str = ""
    ) -> None:
        self.source = source  # the name of a shipped model or the whole path of one, if loaded
        self.bundle = bundle
        self.encoder = encoder
        self.model = bundle.model
        self.vocabulary: Vocabulary = bundle.vocabulary
        self.writer = Writer(bundle)
        self.device = device  # of the encoder, "cpu" or "cuda"

    @cached_property
    def prior_terms(self) -> np.ndarray:
        """What scoring needs of the bundle's training images, (P, M): P(s) is over these."""
        return self.model.image_terms(self.bundle.prior)  # at once: nothing hangs on its last digit

    @cached_property
    def anchors(self) -> np.ndarray:
        """Centres of the bundle's training images, (A, M), at which sentences are linearised."""
        with one_thread():
            return anchors(self.prior_terms, ANCHORS)

    @property
    def trust(self) -> Trust:
        """How far captions can be trusted."""
        return self.writer.trust

    @cached_property
    def identity(self) -> str:
        """SHA-256 of all that image terms and captions depend on: encoder, weights, words."""
        encoder = self.bundle.encoder
        names: list[Any] = [encoder.name, encoder.digest, encoder.preprocessing.to_json()]
        if self.encoder.precision != 32:
            names.append(self.encoder.precision)
        if self.bundle.ratio:
            names += [self.bundle.ratio, self.bundle.distances]
        hasher = hashlib.sha256(json.dumps([names, self.vocabulary.words]).encode())
        for name, weight in sorted(self.model.weights.items()):
            hasher.update(name.encode() + weight.tobytes())
        return hasher.hexdigest()

    def caption(
        self, image: ImagePath, how: Decoding = Decoding(alternatives=4), **options: Any
    ) -> Caption:
        """Write a sentence for one image; raises ImageError if it cannot be read.

        Options are the fields of Decoding: caption("dog.jpg", beam=3).
        """
        [result] = self.caption_many([image], how, **options)
        if isinstance(result, ImageError):
            raise result
        return result

    def caption_many(
        self, images: Iterable[ImagePath], how: Decoding = Decoding(), **options: Any
    ) -> Iterator[Caption | ImageError]:
        """Yield a caption, or the error met, for each image in order; images may be a stream.

        Options are the fields of Decoding: caption_many(paths, beam=3).
        """
        how = replace(how, **options)
        _require_several(images, "images")
        return self._stream(images, how, self.writer.require(how))

    def caption_features(
        self, features: np.ndarray, how: Decoding = Decoding(), **options: Any
    ) -> list[Caption]:
        """Captions for encoder features (B, D); options are the fields of Decoding."""
        how = replace(how, **options)
        generator = np.random.default_rng(how.seed)
        return self._generate(list(features), how, self.writer.require(how), generator)

    def caption_pixels(
        self, pixels: Sequence[np.ndarray], how: Decoding = Decoding()
    ) -> list[Caption]:
        """Captions for preprocessed pictures (3, S, S), the same as for their files."""
        return self.caption_features(self.encoder.encode(np.stack(pixels)), how)

    def caption_terms(
        self, terms: np.ndarray, how: Decoding = Decoding(), sure: bool = True, **options: Any
    ) -> list[Caption]:
        """Captions for image terms (B, M); options are fields of Decoding, not `alternatives`.

        Without `sure` they do not tell how sure they are, which takes a third of the time.
        """
        how = replace(how, **options)
        prefix, generator = self.writer.require(how), np.random.default_rng(how.seed)
        found = self.writer.write(terms, how, prefix, generator)
        return self.trust.judged(found, terms) if sure else found

    def score(self, image: ImagePath, sentences: Sequence[str]) -> list[Score]:
        """Score sentences against one image, in order; raises ImageError.

        Words outside the vocabulary count as the unknown word in log P(s | I), and not at all in
        the log-ratio.
        """
        _require_several(sentences, "sentences")
        return self.score_feature(self._feature(image), sentences)

    def score_feature(self, feature: np.ndarray, sentences: Sequence[str]) -> list[Score]:
        """Score sentences against one encoder feature (D,), in order."""
        if not sentences:
            return []
        owner = np.zeros(len(sentences), dtype=np.int64)
        corpus, known = (
            Corpus([encode(sentence) for sentence in sentences])
            for encode in (self.vocabulary.encode, self.vocabulary.encode_known)
        )
        of_all = list(score_words(self.model, Pairs(corpus, owner, feature[None])))
        of_known = of_all
        if any(map(self.unknown_words, sentences)):
            of_known = list(score_words(self.model, Pairs(known, owner, feature[None])))
        priors = log_prior(self.model, known, self.prior_terms).tolist()
        results = []
        for sentence, scored, part, prior in zip(sentences, of_all, of_known, priors, strict=True):
            tokens = self.vocabulary.tokenise(sentence)
            logprobs = scored.logprobs.tolist()
            words = zip([*tokens, SIGNS[END]], logprobs, strict=True)
            logprob = sum(logprobs)
            results.append(
                Score(
                    sentence,
                    logprob,
                    to_perplexity(logprob, len(logprobs)),
                    sum(part.logprobs.tolist()) - prior,
                    tuple(self.writer.word(word, p) for word, p in words),
                    self.unknown_words(sentence),
                )
            )
        return results

    def explain(
        self,
        image: ImagePath,
        sentence: str | None = None,
        how: Decoding = Decoding(alternatives=4),
        quick: bool = False,
        **options: Any,
    ) -> Explanation:
        """The evidence for every word of a sentence about an image, or of the caption it gets.

        Heat maps are made by hiding parts of the image; if they are to be `quick`, of the encoder's
        positions where it has any: a tenth of the time, and less true. Options are the fields of
        Decoding. Raises ImageError, and UsageError for a prefix that cannot be used.
        """
        seen = self.encoder.preprocessing
        picture = read_image(image, at_least=seen.least_side)
        area = seen_area(picture.size, seen)
        return self.explain_pixels(
            preprocess(picture, seen), sentence, replace(how, **options), area, quick
        )

    def explain_pixels(
        self,
        pixels: np.ndarray,
        sentence: str | None = None,
        how: Decoding = Decoding(alternatives=4),
        area: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0),
        quick: bool = False,
    ) -> Explanation:
        """The same of a preprocessed picture (3, S, S), which shows this `area` of the whole."""
        if sentence is not None and how.prefix:
            raise UsageError("a sentence that is given has no prefix: leave out one of the two")
        [feature] = self.encoder.encode(pixels[None])
        if sentence is None:
            [caption] = self.caption_features(feature[None], how)
        else:
            caption = self.writer.given(sentence, feature)
            [caption] = self.trust.judged([caption], self.terms_of_features(feature[None]))
            [caption] = with_alternatives(self.bundle, [caption], feature[None], how.alternatives)
        words = [self.vocabulary.index(word.text) for word in caption.words]
        usual = self.trust.usual_term
        evidence, method = find_evidence(
            self.model, self.encoder, usual, pixels, feature, words, quick
        )
        return Explanation(caption, evidence, method, area, self.unknown_words(sentence or ""))

    def unknown_words(self, sentence: str) -> tuple[str, ...]:
        """The words of a sentence that are not in the vocabulary."""
        return tuple(
            word for word in self.vocabulary.tokenise(sentence) if word not in self.vocabulary
        )

    def understands(self, sentence: str) -> bool:
        """Whether pictures can be told apart by what the model knows of a sentence.

        Not if it lacks words, and those that it knows are as likely of any picture.
        """
        known = self.vocabulary.encode_known(sentence)
        return not self.unknown_words(sentence) or bool(self.trust.content_words[known].any())

    def log_ratios(self, features: np.ndarray, sentences: Sequence[str]) -> np.ndarray:
        """`Score.log_ratio` of every sentence for every feature (I, D): (S, I), nats."""
        corpus = Corpus([self.vocabulary.encode_known(sentence) for sentence in sentences])
        scores = log_likelihoods(self.model, corpus, image_terms(self.model, features))
        prior = log_prior(self.model, corpus, self.prior_terms)
        return scores - prior[:, None]

    def rank_sentences(
        self, image: ImagePath, sentences: Sequence[str], k: int | None = None
    ) -> Ranking:
        """The k sentences (or all) that fit an image best, by P(s|I)/P(s) (paper sec. 6).

        Words outside the vocabulary are left out, of log P, too. Equals stay in the given order.
        Raises ImageError if the image cannot be read.
        """
        _require_places(k)  # before the image is read
        _require_several(sentences, "sentences")
        return self.rank_sentences_for(os.fspath(image), self.terms_of(image), sentences, k)

    def rank_sentences_for(
        self, query: str, terms: np.ndarray, sentences: Sequence[str], k: int | None = None
    ) -> Ranking:
        """What `rank_sentences` gives for an image's terms (1, M); `query` names the image."""
        _require_places(k)
        corpus = Corpus([self.vocabulary.encode_known(sentence) for sentence in sentences])
        found = zip(*sentences_for(self.model, corpus, terms, self.prior_terms, k), strict=True)
        matches = [
            Match(
                rank,
                sentences[i],
                logprob,
                to_perplexity(logprob, corpus.lengths[i]),
                logprob - prior,
            )
            for rank, (i, logprob, prior) in enumerate(found, 1)
        ]
        return Ranking(query, tuple(matches))

    def rank_images(
        self,
        sentence: str,
        images: Iterable[ImagePath],
        k: int | None = None,
        on_progress: OnProgress = lambda done, total: None,
    ) -> Ranking:
        """The k images (or all) that a sentence fits best, by perplexity.

        Words outside the vocabulary are left out; there is no match where nothing is left that
        tells pictures apart. Equals stay in the given order; images that cannot be read are
        returned as errors.
        """
        _require_places(k)
        _require_several(images, "images")
        images = list(images)
        paths: list[str] = []
        errors: list[tuple[str, ImageError]] = []
        features: list[np.ndarray] = []
        encoded = zip(images, encode_images(map(Path, images), self.encoder), strict=True)
        while batch := list(islice(encoded, _BATCH)):
            for path, found in batch:
                if isinstance(found, ImageError):
                    errors.append((os.fspath(path), found))
                else:
                    paths.append(os.fspath(path))
                    features.append(found)
            on_progress(len(paths) + len(errors), len(images))
        ranking = self.rank_features(sentence, paths, features, k)
        return replace(ranking, errors=tuple(errors))

    def rank_features(
        self,
        sentence: str,
        names: Sequence[str],
        features: Sequence[np.ndarray],
        k: int | None = None,
    ) -> Ranking:
        """What `rank_images` gives for encoder features (D,) of images with these names."""
        unknown = self.unknown_words(sentence)
        if not features or not self.understands(sentence):
            return Ranking(sentence, (), unknown=unknown)
        terms = self.terms_of_features(np.stack(features))
        matches = [
            Match(rank, names[i], *figures)
            for rank, (i, *figures) in enumerate(self.rank_terms(sentence, terms, k), 1)
        ]
        return Ranking(sentence, tuple(matches), unknown=unknown)

    def rank_terms(
        self, sentence: str, terms: np.ndarray, k: int | None = None
    ) -> list[tuple[int, float, float, float]]:
        """The k images (or all) that a sentence fits best, of image terms (I, M).

        Returns the position of each, its log P(s | I), perplexity and log-ratio, best first.
        """
        return self.query(sentence).ranked(terms, self.prior_terms, k)

    def query(self, sentence: str, centres: np.ndarray | None = None) -> Query:
        """A sentence that looks for images, linearised at centres (A, M) or where that is usual.

        Words outside the vocabulary are left out.
        """
        words = self.vocabulary.encode_known(sentence)
        return open_query(self.model, words, self.anchors if centres is None else centres)

    def begin(self, features: np.ndarray) -> tuple[Step, State]:
        """What `model.generate` needs to write a sentence for each of the features (B, D)."""
        return self.writer.begin(self.terms_of_features(features))

    def nearest_words(self, word: str, k: int = 10) -> list[tuple[str, float]]:
        """The k nearest words by Euclidean distance in word embedding II (paper sec. 3.2)."""
        tokens = self.vocabulary.tokenise(word)
        if len(tokens) != 1 or tokens[0] not in self.vocabulary:
            raise UsageError(f"{word!r} is not a word of this model's vocabulary")
        index = self.vocabulary.index(tokens[0])
        w = self.model.word_representation(np.arange(len(self.vocabulary)))
        distances = np.linalg.norm(w - w[index], axis=1)
        distances[[*range(len(SIGNS)), index]] = np.inf
        nearest = np.argsort(distances, kind="stable")[:k].tolist()
        found = ((self.vocabulary.words[i], float(distances[i])) for i in nearest)
        return [(other, distance) for other, distance in found if math.isfinite(distance)]

    def terms_of(self, image: ImagePath) -> np.ndarray:
        """The image terms (1, M) of one image; raises ImageError."""
        return self.terms_of_features(self._feature(image)[None])

    def terms_of_features(self, features: np.ndarray) -> np.ndarray:
        """The image terms (B, M) of encoder features (B, D), each whatever the others are."""
        [terms] = in_blocks(
            lambda rows: (self.model.image_terms(rows),), features, size=NUMPYS_ROWS
        )
        return terms

    def _feature(self, image: ImagePath) -> np.ndarray:
        [feature] = encode_images([Path(image)], self.encoder)
        if isinstance(feature, ImageError):
            raise feature
        return feature

    def _stream(
        self, images: Iterable[ImagePath], how: Decoding, prefix: list[int]
    ) -> Iterator[Caption | ImageError]:
        generator = np.random.default_rng(how.seed)
        encoded = encode_images(map(Path, images), self.encoder)
        started = time.perf_counter()
        while batch := list(islice(encoded, _BATCH)):
            looked_at = time.perf_counter()
            features = [item for item in batch if isinstance(item, np.ndarray)]
            captions = iter(self._generate(features, how, prefix, generator) if features else ())
            times = looked_at - started, time.perf_counter() - looked_at
            _LOG.info(
                "%d images: read and encoded in %.2f s, put into words in %.2f s",
                len(batch),
                *times,
            )
            for item in batch:
                yield item if isinstance(item, ImageError) else next(captions)
            started = time.perf_counter()

    def _generate(
        self,
        features: list[np.ndarray],
        how: Decoding,
        prefix: list[int],
        generator: np.random.Generator,
    ) -> list[Caption]:
        matrix = np.stack(features)
        terms = self.terms_of_features(matrix)
        captions = self.trust.judged(self.writer.write(terms, how, prefix, generator), terms)
        return with_alternatives(self.bundle, captions, matrix, how.alternatives)


def _require_several(things: object, what: str) -> None:
    """Raise UsageError for a single one, whose letters would be taken for several."""
    if isinstance(things, str | bytes | os.PathLike):
        raise UsageError(f"{what} are one {type(things).__name__}, not several: give [{things!r}]")


def _require_places(k: int | None) -> None:
    if k is not None and k < 1:
        raise UsageError(f"k must be 1 or more, not {k}")


def load(
    model: str | os.PathLike[str] = "default", device: str = "auto", precision: int | None = None
) -> Captioner:
    """Open a shipped model by its name, or a bundle directory, on "auto", "cpu" or "cuda".

    The image network runs in 8 bits on a CPU if the bundle has them, else in 32, unless `precision`
    says otherwise. Raises BundleError, UsageError for a GPU or 8 bits that are not to be had,
    DependencyError for a bundle of format 1 whose encoder's package is missing.
    """
    started = time.perf_counter()
    where = choose_device("cpu" if precision == 8 and device == "auto" else device)
    directory = find_bundle(os.fspath(model))
    bundle = load_bundle(directory)
    identity, file = bundle.encoder, bundle.encoder_file
    encoder = (
        features_only(bundle.model.config.feature)
        if identity.name == FEATURES
        else reopen_encoder(
            identity.name, identity.digest, file, identity.preprocessing, where, precision
        )
    )
    ours = bundle.encoder.preprocessing.size, bundle.model.config.feature
    theirs = encoder.preprocessing.size, encoder.dimension
    if ours != theirs:
        raise BundleError(
            f"{printable(directory)}: input {ours[0]} pixels and feature {ours[1]}, but "
            f"{encoder.name} has {theirs[0]} and {theirs[1]}; get a fresh copy of the bundle"
        )
    # The bundle's preprocessing rules, whatever the encoder's own default has become.
    encoder = replace(encoder, preprocessing=bundle.encoder.preprocessing)
    name = os.fspath(model)
    source = name if name in SHIPPED else os.path.abspath(name)  # noqa: PTH100 - links stay
    _LOG.info(
        "model %s: %s words, %s in %d bits on %s, %d threads; opened in %.2f s",
        printable(directory),
        f"{len(bundle.vocabulary) - len(SIGNS):,}",
        encoder.name,
        encoder.precision,
        where,
        processors(),
        time.perf_counter() - started,
    )
    return Captioner(bundle, encoder, where, source)
