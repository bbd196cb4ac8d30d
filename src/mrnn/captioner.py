"""The Captioner: one object that owns model, vocabulary and encoder."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from .config import SHIPPED, Decoding
from .devices import processors
from .errors import BundleError, ImageError, UsageError
from .explanation.evidence import find_evidence
from .images.encoders import Encoder
from .images.finding import printable
from .images.given import PictureLike, require_several
from .images.looking import Seen, encode_given, look
from .model.blocks import one_thread
from .model.bundle import Bundle, identity_of, load_bundle
from .model.directory import find_bundle
from .model.generate import State, Step
from .model.image_network import open_image_network
from .model.nearest_words import nearest_words
from .onnx_sessions import choose_device
from .pages.html import jpeg
from .pages.notebook import with_thumbnails
from .results import Caption, Explanation, Match, Ranking, Score
from .scoring.first_order import anchors
from .scoring.likelihoods import OnProgress, image_terms, log_likelihoods, log_prior
from .scoring.queries import ANCHORS, Query, open_query
from .scoring.ranking import require_places, sentences_for
from .scoring.runners_up import with_alternatives
from .scoring.sentence_scores import score_sentences
from .scoring.trust import Trust
from .scoring.word_scores import to_perplexity
from .words.packing import Corpus
from .words.text import SIGNS, Vocabulary
from .writing import Writer

_BATCH = 64  # images that are captioned together
_LOG = logging.getLogger(__name__)

ImagePath = str | os.PathLike[str]


class Captioner:
    """Captions images and scores sentences; made by `mrnn.load`.

    An image is a path, the bytes of a file, a binary file object, a Pillow image, or an array of
    uint8: RGB (H, W, 3), grey (H, W) or RGBA (H, W, 4), 0 black and 255 white. Bytes and file
    objects give what their file gives, to the last bit. Log-probabilities are in nats.

    Safe to use from one thread at a time.

    >>> [captioner.caption(image).text for image in ("holiday.jpg", Path("beach.jpg").read_bytes())]
    ['a ...', 'a ...']
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

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process it is opened again, if `load` has opened it here."""
        if not self.source:
            return super().__reduce__()  # type: ignore[return-value]  # says what cannot be sent
        return _opened_again, (self.source, self.device, self.encoder.precision, self.identity)

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
        """What tells it from others: SHA-256 of encoder, weights and words."""
        return identity_of(self.bundle, self.encoder.precision)

    def caption(
        self, image: PictureLike, how: Decoding = Decoding(alternatives=4), **options: Any
    ) -> Caption:
        """Write a sentence for one image; raises ImageError if it cannot be read.

        Options are the fields of Decoding. Raises UsageError for those that do not go together, and
        for several images.

        >>> captioner.caption("holiday.jpg", beam=3, n_best=3).n_best[2].text
        'a ...'
        """
        how = replace(how, **options)
        self.writer.require(how)
        seen = self._look(image, "caption_many takes several")
        [caption] = self.caption_pixels([seen.pixels], how)
        return _of(seen, caption)

    def caption_many(
        self, images: Iterable[PictureLike], how: Decoding = Decoding(), **options: Any
    ) -> Iterator[Caption | ImageError]:
        """Yield a caption, or the error met, for each image in order; images may be a stream.

        Options are the fields of Decoding. Both kinds of results tell their `image`. Raises
        UsageError for a single image.

        >>> for result in captioner.caption_many(["holiday.jpg", "gone.jpg"], beam=3):
        ...     print(result)
        a ...
        gone.jpg: no such file
        """
        how = replace(how, **options)
        require_several(images, "images")
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

    def score(self, image: PictureLike, sentences: Iterable[str]) -> list[Score]:
        """Score sentences against one image, in order; raises ImageError.

        Words outside the vocabulary count as the unknown word in log P(s | I), and not at all in
        the log-ratio, which is None where nothing is left that tells pictures apart. Raises
        UsageError for sentences without words.

        >>> scores = captioner.score("holiday.jpg", ["a dog in the snow", "two people on a beach"])
        >>> [len(score.words) for score in scores]
        [6, 6]
        """
        sentences = self._worded(sentences)
        return self.score_feature(self._feature(image), sentences)

    def score_feature(
        self, feature: np.ndarray, sentences: Iterable[str], priors: np.ndarray | None = None
    ) -> list[Score]:
        """Score sentences against one encoder feature (D,), in order.

        With their `log_priors`, which are nearly all the work, if these are at hand.
        """
        sentences = self._worded(sentences)
        priors = self.log_priors(sentences) if priors is None else priors
        scores = score_sentences(self.model, self.vocabulary, feature, sentences, priors)
        return [s if self.understands(s.sentence) else replace(s, log_ratio=None) for s in scores]

    def log_priors(self, sentences: Iterable[str]) -> np.ndarray:
        """Log P(s) of the known words of each sentence, whatever the image is: (S,), nats."""
        sentences = self._worded(sentences)
        corpus = Corpus([self.vocabulary.encode_known(sentence) for sentence in sentences])
        return log_prior(self.model, corpus, self.prior_terms)

    def explain(
        self,
        image: PictureLike,
        sentence: str | None = None,
        how: Decoding = Decoding(alternatives=4),
        quick: bool = False,
        **options: Any,
    ) -> Explanation:
        """The evidence for every word of a sentence about an image, or of the caption it gets.

        Heat maps are made by hiding parts of the image; if they are to be `quick`, of the encoder's
        positions where it has any: a tenth of the time, and less true. Options are the fields of
        Decoding. Raises ImageError, and UsageError for a prefix that cannot be used.

        >>> explanation = captioner.explain("holiday.jpg", "a dog", quick=True)
        >>> for word, why in zip(explanation.caption.words, explanation.evidence, strict=True):
        ...     print(word.text, why.contributions.image > -20)
        a True
        dog True
        ##END## True
        """
        seen = self._look(image)
        found = self.explain_pixels(
            seen.pixels, sentence, replace(how, **options), seen.area, quick
        )
        return replace(found, caption=_of(seen, found.caption))

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
        self._worded([] if sentence is None else [sentence])
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
        return self.vocabulary.unknown(sentence)

    def understands(self, sentence: str) -> bool:
        """Whether pictures can be told apart by what the model knows of a sentence.

        Not if it lacks words, and those that it knows are as likely of any picture.
        """
        return not self.unknown_words(sentence) or self.trust.tells_apart(sentence)

    def log_ratios(self, features: np.ndarray, sentences: Iterable[str]) -> np.ndarray:
        """`Score.log_ratio` of every sentence for every feature (I, D): (S, I), nats."""
        corpus = Corpus([self.vocabulary.encode_known(sentence) for sentence in _listed(sentences)])
        scores = log_likelihoods(self.model, corpus, image_terms(self.model, features))
        prior = log_prior(self.model, corpus, self.prior_terms)
        return scores - prior[:, None]

    def rank_sentences(
        self, image: PictureLike, sentences: Iterable[str], k: int | None = None
    ) -> Ranking:
        """The k sentences (or all) that fit an image best, by P(s|I)/P(s) (paper sec. 6).

        Words outside the vocabulary are left out, of log P, too, and so are sentences where nothing
        else tells pictures apart. Equals stay in the given order. Raises ImageError if the image
        cannot be read, and UsageError for sentences without words.

        >>> sentences = ["a dog in the snow", "two people on a beach"]
        >>> [match.rank for match in captioner.rank_sentences("holiday.jpg", sentences).matches]
        [1, 2]
        """
        require_places(k)  # before the image is read
        sentences = self._worded(sentences)
        seen = self._look(image)
        terms = self.terms_of_features(self.encoder.encode(seen.pixels[None]))
        ranking = self.rank_sentences_for(seen.name, terms, sentences, k)
        return replace(ranking, in_memory=seen.small is not None)

    def rank_sentences_for(
        self, query: str, terms: np.ndarray, sentences: Iterable[str], k: int | None = None
    ) -> Ranking:
        """What `rank_sentences` gives for an image's terms (1, M); `query` names the image."""
        require_places(k)
        sentences = self._worded(sentences)
        unknown = tuple(dict.fromkeys(w for s in sentences for w in self.unknown_words(s)))
        sentences = list(filter(self.understands, sentences))
        if not sentences:
            return Ranking(query, (), unknown=unknown, items="sentence")
        corpus = Corpus([self.vocabulary.encode_known(sentence) for sentence in sentences])
        found = zip(*sentences_for(self.model, corpus, terms, self.prior_terms, k), strict=True)
        matches = tuple(
            Match(rank, sentences[i], p, to_perplexity(p, corpus.lengths[i]), p - prior)
            for rank, (i, p, prior) in enumerate(found, 1)
        )
        return Ranking(query, matches, unknown=unknown, items="sentence")

    def rank_images(
        self,
        sentence: str,
        images: Iterable[PictureLike],
        k: int | None = None,
        on_progress: OnProgress = lambda done, total: None,
    ) -> Ranking:
        """The k images (or all) that a sentence fits best, by perplexity.

        Words outside the vocabulary are left out; there is no match where nothing is left that
        tells pictures apart. Equals stay in the given order; images that cannot be read are
        returned as errors.

        >>> ranking = captioner.rank_images("a dog", ["beach.jpg", "holiday.jpg"], k=1)
        >>> len(ranking.matches)
        1
        """
        require_places(k)
        self._worded([sentence])
        require_several(images, "images")
        images = list(images)
        names: list[str] = []
        errors: list[tuple[str, ImageError]] = []
        features: list[np.ndarray] = []
        at_hand: list[PictureLike] = []
        encoded = zip(encode_given(images, self.encoder), images, strict=True)
        while batch := list(islice(encoded, _BATCH)):
            for one, image in batch:
                if isinstance(one.found, ImageError):
                    errors.append((one.name, one.found))
                else:
                    names.append(one.name)
                    features.append(one.found)
                    at_hand.append(image)
            on_progress(len(names) + len(errors), len(images))
        ranking = self.rank_features(sentence, names, features, k, at_hand)
        return replace(ranking, errors=tuple(errors))

    def rank_features(
        self,
        sentence: str,
        names: Sequence[str],
        features: Sequence[np.ndarray],
        k: int | None = None,
        images: Sequence[PictureLike] = (),
    ) -> Ranking:
        """What `rank_images` gives for encoder features (D,) of images with these names.

        The images themselves are for matches that show them.
        """
        self._worded([sentence])
        unknown = self.unknown_words(sentence)
        if not features or not self.understands(sentence):
            return Ranking(sentence, (), unknown=unknown)
        terms = self.terms_of_features(np.stack(features))
        found = self.rank_terms(sentence, terms, k)
        matches = tuple(
            Match(rank, names[i], logprob, perplexity, ratio)
            for rank, (i, logprob, perplexity, ratio) in enumerate(found, 1)
        )
        if images:
            matches = with_thumbnails(matches, [images[i] for i, *_ in found])
        return Ranking(sentence, matches, unknown=unknown)

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
        return nearest_words(self.model, self.vocabulary, word, k)

    def terms_of(self, image: PictureLike) -> np.ndarray:
        """The image terms (1, M) of one image; raises ImageError."""
        return self.terms_of_features(self._feature(image)[None])

    def terms_of_features(self, features: np.ndarray) -> np.ndarray:
        """The image terms (B, M) of encoder features (B, D), each whatever the others are."""
        return image_terms(self.model, features)

    def _worded(self, sentences: Iterable[str]) -> list[str]:
        """Sentences of any kind of list; raises UsageError for one without words."""
        for sentence in (found := _listed(sentences)):
            if not self.vocabulary.tokenise(sentence):
                raise UsageError(f"{sentence!r} is no sentence: it has no words")
        return found

    def _feature(self, image: PictureLike) -> np.ndarray:
        return self.encoder.encode(self._look(image).pixels[None])[0]

    def _look(self, image: PictureLike, instead: str = "give one at a time") -> Seen:
        return look(image, self.encoder.preprocessing, instead)

    def _stream(
        self, images: Iterable[PictureLike], how: Decoding, prefix: list[int]
    ) -> Iterator[Caption | ImageError]:
        generator = np.random.default_rng(how.seed)
        encoded = encode_given(images, self.encoder)
        started = time.perf_counter()
        while batch := list(islice(encoded, _BATCH)):
            looked_at = time.perf_counter()
            features = [one.found for one in batch if isinstance(one.found, np.ndarray)]
            captions = iter(self._generate(features, how, prefix, generator) if features else ())
            told = len(batch), looked_at - started, time.perf_counter() - looked_at
            _LOG.info("%d images: read and encoded in %.2f s, put into words in %.2f s", *told)
            for one in batch:
                if isinstance(one.found, ImageError):
                    yield one.found
                else:
                    yield replace(next(captions), image=one.name, in_memory=one.in_memory)
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


def _opened_again(source: str, device: str, precision: int, identity: str) -> Captioner:
    captioner = load(source, device, precision)
    if captioner.identity != identity:
        raise BundleError(f"{printable(source)}: another model lies there now; load it anew")
    return captioner


def _of(seen: Seen, caption: Caption) -> Caption:
    """A caption that knows its picture."""
    thumbnail = "" if seen.small is None else jpeg(seen.small)
    return replace(caption, image=seen.name, thumbnail=thumbnail, in_memory=seen.small is not None)


def _listed(sentences: Iterable[str]) -> list[str]:
    """Sentences of any kind of list, by their places; raises UsageError for a single one."""
    require_several(sentences, "sentences")
    return list(sentences)


def load(
    model: str | os.PathLike[str] = "default", device: str = "auto", precision: int | None = None
) -> Captioner:
    """Open a shipped model by its name, or a bundle directory, on "auto", "cpu" or "cuda".

    The image network runs in 8 bits on a CPU if the bundle has them, else in 32, unless `precision`
    says otherwise. Raises BundleError, UsageError for a GPU or 8 bits that are not to be had,
    DependencyError for a bundle of format 1 whose encoder's package is missing.

    >>> captioner = mrnn.load("plain", device="cpu")
    >>> captioner.source, captioner.device
    ('plain', 'cpu')
    """
    started = time.perf_counter()
    where = choose_device("cpu" if precision == 8 and device == "auto" else device)
    directory = find_bundle(os.fspath(model))
    bundle = load_bundle(directory)
    encoder = open_image_network(bundle, directory, where, precision)
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
