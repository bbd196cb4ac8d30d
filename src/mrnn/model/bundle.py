"""A bundle: the model directory that explains itself and loads strictly.

`config.json` (sizes, tokeniser, encoder, what it was trained on, scores, digests), `vocab.json`,
`model.safetensors` (weights and the prior features, fp16), `README.md` (the card), how training
images were described: `consensus.safetensors`, and the whole encoder: `encoder.safetensors` (8 bits
or fp16) or `encoder.onnx`. Bundles of format 1 left out of it what a pip package has; opened where
that package and PyTorch are, they are whole. Those of format 2 know neither how many captions each
word had nor a `ratio` to generate by, those of format 3 no image network in 8 bits. Saved again,
they are of format 4.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import numpy as np

from ..config import ModelConfig
from ..errors import BundleError, DependencyError
from ..files import turn_in
from ..images.encoders import files_of
from ..images.finding import printable
from ..images.networks import ONNX, SAFETENSORS, EncoderFile, network
from ..images.published import PACKAGES, completed
from ..images.reading import Preprocessing
from ..weight_files import check_arrays, from_safetensors, read_whole, to_half, to_safetensors
from ..words.text import KNOWN_TOKENISERS, TOKENISERS, Vocabulary
from .card import card
from .chance import MatchChance
from .consensus import Consensus
from .directory import require_directory
from .mrnn import MRNN, model_of, shapes
from .sureness import Sureness
from .threshold import MatchThreshold

FORMAT = 4
_READ = (1, 2, 3, 4)
_CONFIG, _VOCABULARY, _WEIGHTS, _CARD = (
    "config.json",
    "vocab.json",
    "model.safetensors",
    "README.md",
)
_CONSENSUS = "consensus.safetensors"  # bundles of before it was there have none
_CARRIED = {SAFETENSORS, ONNX}
_SCORES = (
    "signature",
    "split",
    "images",
    "sentences",
    "perplexity",
    "bleu",
    "rouge_l",
    "cider",
    "image_to_text",
    "text_to_image",
    "distinct_captions",
)
_OPTIONAL = {
    "match": dict,
    "chance": dict,
    "ratio": float,
    "distances": list,
    "imagined": int,
    "sureness": dict,
}
_FARTHEST = 1e6  # from training images
MEASURED = ("data", "split", "images", "decoding", "retrieval")  # what tells scores apart


@dataclass(frozen=True)
class EncoderIdentity:
    """Which encoder made the features that the model was trained on."""

    name: str
    digest: str  # SHA-256 of the file that its weights were published or learned as
    preprocessing: Preprocessing


@dataclass(frozen=True)
class Bundle:
    """All that is needed to use a model, and to know what it is."""

    model: MRNN
    vocabulary: Vocabulary
    encoder: EncoderIdentity
    # (P, D) fp16, for P(s): features of some training images, at the end stand-ins for others
    prior: np.ndarray
    training: Mapping[str, Any]  # data, split, counts, seed, configuration
    scores: tuple[Mapping[str, Any], ...] = ()  # results of `mrnn evaluate`, with their signatures
    encoder_file: EncoderFile | None = None  # all of the encoder; none where there is no network
    match: MatchThreshold | None = None  # of models made before there was `chance`
    consensus: Consensus | None = None
    ratio: float = 0.0  # c of `guidance`, by which captions are generated unless another is given
    distances: tuple[float, ...] = ()  # quantiles of dev pictures' `familiarity`, rising
    imagined: int = 0  # how many of the prior are stand-ins
    sureness: Sureness | None = None
    chance: MatchChance | None = None  # none where there were too few dev pictures

    @property
    def seen(self) -> np.ndarray:
        """The features of the prior that are of real images."""
        return self.prior[: len(self.prior) - self.imagined]


def identity_of(bundle: Bundle, precision: int) -> str:
    """SHA-256 of what image terms and log P depend on: encoder, its precision, weights, words.

    Of what captions are chosen by it covers the ratio and the distances; the prior, the counts of
    captions and the consensus it does not.
    """
    encoder = bundle.encoder
    names: list[Any] = [encoder.name, encoder.digest, encoder.preprocessing.to_json()]
    if precision != 32:
        names.append(precision)
    if bundle.ratio:
        names += [bundle.ratio, bundle.distances]
    hasher = hashlib.sha256(json.dumps([names, bundle.vocabulary.words]).encode())
    for name, weight in sorted(bundle.model.weights.items()):
        hasher.update(name.encode() + weight.tobytes())
    return hasher.hexdigest()


def save_bundle(bundle: Bundle, directory: Path) -> None:
    """Write a bundle as a whole: under another name first, then renamed.

    A bundle that was there is replaced; raises BundleError for a directory that holds any other
    file, or that cannot be written.
    """
    require_replaceable(directory)
    try:
        arrays = to_half(bundle.model.weights | {"prior": bundle.prior})
        _check_encoder(bundle.encoder, bundle.encoder_file)
    except ValueError as error:
        raise BundleError(f"{error}; nothing is saved") from None
    contents = {
        _VOCABULARY: bundle.vocabulary.to_json().encode(),
        _WEIGHTS: to_safetensors(arrays),
    }
    if bundle.consensus is not None:
        contents[_CONSENSUS] = bundle.consensus.to_bytes()
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    if bundle.encoder_file is not None:
        contents[bundle.encoder_file.name] = bundle.encoder_file.content
        digests[bundle.encoder_file.name] = bundle.encoder_file.digest
    optional = {
        "match": bundle.match and bundle.match.to_json(),
        "chance": bundle.chance and bundle.chance.to_json(),
        "ratio": bundle.ratio,
        "distances": bundle.distances,
        "imagined": bundle.imagined,
        "sureness": bundle.sureness and bundle.sureness.to_json(),
    }
    config = {
        "format": FORMAT,
        "tokeniser": bundle.vocabulary.tokeniser,
        "model": asdict(bundle.model.config),
        "encoder": {
            **asdict(bundle.encoder),
            "preprocessing": bundle.encoder.preprocessing.to_json(),
        },
        "training": bundle.training,
        "scores": bundle.scores,
        **{key: value for key, value in optional.items() if value},
        "files": digests,
    }
    contents[_CONFIG] = (json.dumps(config, ensure_ascii=False, indent=2) + "\n").encode()
    contents[_CARD] = card(bundle, sum(map(len, contents.values()))).encode()
    _write_directory(contents, directory)


def load_bundle(directory: Path) -> Bundle:
    """Read a bundle and verify all of it; raises BundleError naming the file and what is wrong."""
    require_directory(directory)
    config = _read_config(directory / _CONFIG)
    contents = {name: _read(directory / name, digest) for name, digest in config["files"].items()}
    try:
        vocabulary = Vocabulary.from_json(contents[_VOCABULARY].decode())
    except (BundleError, UnicodeDecodeError) as error:
        raise _wrong(directory / _VOCABULARY, str(error)) from None
    path = directory / _CONFIG
    if config["tokeniser"] != vocabulary.tokeniser:
        found = f"{config['tokeniser']!r}, in {_VOCABULARY} {vocabulary.tokeniser!r}"
        raise _wrong(path, f"'tokeniser' is {found}")
    sizes = _dataclass(ModelConfig, config["model"], path, "model")
    identity = _dataclass(EncoderIdentity, config["encoder"], path, "encoder")
    file = _read_encoder(config, contents, identity, directory)
    if len(vocabulary) != sizes.vocabulary:
        raise _wrong(
            directory / _VOCABULARY,
            f"{len(vocabulary)} words, but the model's softmax has {sizes.vocabulary}",
        )
    model, prior = _read_weights(contents[_WEIGHTS], sizes, directory / _WEIGHTS)
    training, scores = config["training"], tuple(config["scores"])
    consensus = None
    if _CONSENSUS in contents:
        try:
            content = contents[_CONSENSUS]
            consensus = Consensus.from_bytes(content, sizes.vocabulary, sizes.multimodal)
        except ValueError as error:
            raise _wrong(directory / _CONSENSUS, str(error)) from None
    known = _knowledge(config, len(prior), path)
    bundle = Bundle(
        model, vocabulary, identity, prior, training, scores, file, consensus=consensus, **known
    )
    try:
        card(bundle, 0)
    except Exception as error:  # whatever wrong keys and types lead to
        raise _wrong(path, f"'training' or 'scores' cannot be shown ({error!r})") from None
    return bundle


def _knowledge(config: Mapping[str, Any], prior: int, path: Path) -> dict[str, Any]:
    """What a model knows of itself, as far as it does; `prior` counts the images of the prior."""
    ratio, imagined = config.get("ratio", 0.0), config.get("imagined", 0)
    distances = tuple(config.get("distances", ()))
    if not 0 <= ratio <= 1:
        raise _wrong(path, f"'ratio' is {ratio}, not from 0 to 1")
    if not 0 <= imagined < max(1, prior):
        raise _wrong(path, f"'imagined' is {imagined}, but the prior has {prior} images")
    if not all(type(d) in (int, float) and 0 <= d < _FARTHEST for d in distances) or any(
        a > b for a, b in pairwise(distances)
    ):
        raise _wrong(path, "'distances' are not numbers from 0 that never fall")
    known = {"ratio": ratio, "imagined": imagined, "distances": distances}
    readers = {
        "match": MatchThreshold.from_json,
        "chance": MatchChance.from_json,
        "sureness": Sureness.from_json,
    }
    try:
        return known | {
            name: read(config[name]) for name, read in readers.items() if name in config
        }
    except ValueError as error:
        raise _wrong(path, str(error)) from None


def with_scores(bundle: Bundle, document: Mapping[str, Any]) -> Bundle:
    """The bundle with an evaluation, in place of one of the same images in the same way."""
    kept = {key: document[key] for key in _SCORES}

    def measured(scores: Mapping[str, Any]) -> list[Any]:
        return [scores["signature"].get(key) for key in MEASURED]

    others = [s for s in bundle.scores if measured(s) != measured(kept)]
    return replace(bundle, scores=(*others, kept))


def _wrong(path: Path, what: str) -> BundleError:
    return BundleError(f"{printable(path)}: {what}; get a fresh copy of the bundle")


def _read_encoder(
    config: Mapping[str, Any],
    contents: Mapping[str, bytes],
    identity: EncoderIdentity,
    directory: Path,
) -> EncoderFile | None:
    """What a bundle carries of its encoder, made whole where the format leaves out some of it."""
    file: EncoderFile | None = None
    for name in _CARRIED & contents.keys():  # one at most
        place = printable(directory / name)
        file = EncoderFile(name, contents[name], config["files"][name], place)
    try:
        if config["format"] == 1:
            file = _whole_encoder(identity, file)
        _check_encoder(identity, file)
    except ValueError as error:
        raise _wrong(directory / _CONFIG, str(error)) from None
    except DependencyError as error:
        why = "format 1 leaves the image network's weights to a pip package"
        raise DependencyError(f"{printable(directory)}: {why}: {error}") from None
    return file


def _check_encoder(identity: EncoderIdentity, file: EncoderFile | None) -> None:
    """Raise ValueError unless this is the file that such an encoder needs."""
    if (file and file.name) not in files_of(identity.name):
        found = f"the file {file.name}" if file else "no file of weights"
        raise ValueError(f"the encoder {identity.name!r} with {found}")
    if file and file.name == ONNX and file.digest != identity.digest:
        raise ValueError(f"'encoder.digest' is not the SHA-256 of {file.name}")


def _whole_encoder(identity: EncoderIdentity, file: EncoderFile | None) -> EncoderFile | None:
    """The encoder of a bundle of format 1, which a pip package may have to complete.

    Raises ValueError where the bundle contradicts itself, and DependencyError and BundleError.
    """
    if file and file.digest != identity.digest:
        raise ValueError(f"'encoder.digest' is not the SHA-256 of {file.name}")
    if identity.name not in PACKAGES or (file and file.name != SAFETENSORS):
        return file
    if file is None and identity.digest != PACKAGES[identity.name].sha256:
        raise ValueError(
            f"trained with other weights of {identity.name} than those of its pip package; train "
            "it again"
        )
    return completed(network(identity.name), file)


def _read(path: Path, digest: str | None = None) -> bytes:
    try:
        content = read_whole(path)
    except ValueError as error:
        raise _wrong(path, str(error)) from None
    if digest is not None and hashlib.sha256(content).hexdigest() != digest:
        pickled = content[:2] in (b"PK", b"\x80\x02", b"\x80\x04", b"\x80\x05")
        hint = "it is a pickle, which is never read, and " if pickled else ""
        raise _wrong(path, f"{hint}its SHA-256 is not the one in {_CONFIG}")
    return content


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(_read(path).decode())
    except (ValueError, RecursionError) as error:
        raise _wrong(path, f"not JSON ({error})") from None
    if not isinstance(config, dict) or config.get("format") not in _READ:
        found = config.get("format") if isinstance(config, dict) else None
        known = f"{_READ[0]} to {_READ[-1]}"
        raise _wrong(path, f"bundle format {found!r}; this version reads formats {known}")
    shape = {
        "format": int,
        "tokeniser": str,
        "model": dict,
        "encoder": dict,
        "training": dict,
        "scores": list,
        **{key: kind for key, kind in _OPTIONAL.items() if key in config},
        "files": dict,
    }
    _check_keys(config, set(shape), path, "")
    for key, kind in shape.items():
        if type(config[key]) is not kind:
            raise _wrong(path, f"{key!r} is not a {kind.__name__}")
    if (found := config["tokeniser"]) not in TOKENISERS:
        raise _wrong(path, f"made with the tokeniser {found!r}; {KNOWN_TOKENISERS}")
    carried = _CARRIED & config["files"].keys()
    if len(carried) > 1:
        raise _wrong(path, f"two encoders: {' and '.join(sorted(carried))}")
    optional = carried | ({_CONSENSUS} & config["files"].keys())
    _check_keys(config["files"], {_VOCABULARY, _WEIGHTS, *optional}, path, "files.")
    for name, digest in config["files"].items():
        if not isinstance(digest, str):
            raise _wrong(path, f"the SHA-256 of {name!r} is not a str")
    return config


def _check_keys(found: Mapping[str, Any], expected: set[str], path: Path, prefix: str) -> None:
    for key in sorted(found.keys() - expected):
        raise _wrong(path, f"unknown key {prefix + key!r}")
    for key in sorted(expected - found.keys()):
        raise _wrong(path, f"missing key {prefix + key!r}")


_T = TypeVar("_T")


def _dataclass(kind: type[_T], values: Any, path: Path, prefix: str) -> _T:
    """A flat dataclass from a JSON object that has exactly its keys and types."""
    hints = get_type_hints(kind)
    if not isinstance(values, dict):
        raise _wrong(path, f"{prefix!r} is not an object")
    _check_keys(values, set(hints), path, f"{prefix}.")
    for key, value in values.items():
        if hints[key] is Preprocessing:
            try:
                values = values | {key: Preprocessing.from_json(value, f"{prefix}.{key}.")}
            except ValueError as error:
                raise _wrong(path, str(error)) from None
        elif type(value) is not hints[key] and not (hints[key] is float and type(value) is int):
            expected = hints[key].__name__
            raise _wrong(path, f"{prefix + '.' + key!r} is {value!r}, not of type {expected}")
        elif hints[key] is not str and not 0 <= value < 2**63:
            raise _wrong(path, f"{prefix + '.' + key!r} is {value!r}, out of range")
    return kind(**values)


def _read_weights(content: bytes, sizes: ModelConfig, path: Path) -> tuple[MRNN, np.ndarray]:
    expected = shapes(sizes)
    try:
        arrays = from_safetensors(content)
        prior = arrays.get("prior", np.empty(0))
        expected["prior"] = (max(prior.shape[0], 1) if prior.ndim else 1, sizes.feature)
        check_arrays(arrays, expected, "config.json")
    except ValueError as error:
        raise _wrong(path, str(error)) from None
    return model_of(sizes, arrays), prior.astype(np.float16)


def recover_bundle(directory: Path) -> None:
    """Bring back a bundle whose replacement was cut short by the end of the process."""
    directory = directory.resolve()
    replaced = directory.with_name(f".{directory.name}.old")
    if os.path.lexists(replaced) and not os.path.lexists(directory):
        replaced.rename(directory)


def require_replaceable(directory: Path) -> None:
    """Raise BundleError unless nothing is lost there but a bundle."""
    if not _is_replaceable(directory):
        raise BundleError(
            f"{printable(directory)}: exists and is not a bundle, or holds other files beside it; "
            "name another directory"
        )


def _is_replaceable(directory: Path) -> bool:
    if not os.path.lexists(directory):
        return True
    try:
        found = {path.name for path in directory.iterdir()}
        ours = found <= {_CONFIG, _VOCABULARY, _WEIGHTS, _CARD, _CONSENSUS, *_CARRIED}
        return not found or (ours and bool(_read_config(directory / _CONFIG)))
    except (OSError, BundleError):
        return False


def _write_directory(contents: Mapping[str, bytes], directory: Path) -> None:
    directory = directory.resolve()
    fresh = directory.with_name(f".{directory.name}.new")
    replaced = directory.with_name(f".{directory.name}.old")

    def tidy() -> None:
        """Undo what was cut short, now or in an earlier run that was killed."""
        recover_bundle(directory)
        for leftover in (fresh, replaced):
            shutil.rmtree(leftover, ignore_errors=True)

    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with turn_in(directory.parent):
            try:
                tidy()
                fresh.mkdir()
                for name, content in contents.items():
                    with (fresh / name).open("wb") as file:
                        file.write(content)
                        file.flush()
                        os.fsync(file.fileno())
                if directory.exists():
                    directory.rename(replaced)
                fresh.rename(directory)
            finally:
                tidy()
    except OSError as error:
        raise BundleError(
            f"{printable(directory)}: cannot be written ({error.strerror}); nothing was changed"
        ) from None
