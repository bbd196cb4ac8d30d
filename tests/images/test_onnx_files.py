"""ONNX files of the user's: what they compute, what is refused, and in what words."""

from __future__ import annotations

import json
import random
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import mrnn
from conftest import WORDS, tiny_model
from mrnn.commands.about import about
from mrnn.errors import BundleError, UsageError
from mrnn.images import onnx_networks
from mrnn.images.encoders import Encoder, open_encoder, reopen_encoder
from mrnn.images.features import cached_features, encode_images
from mrnn.images.networks import EncoderFile, at_once
from mrnn.images.onnx_networks import open_network
from mrnn.images.reading import Preprocessing, preprocess, read_image
from mrnn.model.bundle import Bundle, EncoderIdentity, save_bundle
from mrnn.onnx_graphs import constant, graph, node
from mrnn.onnx_sessions import open_session
from mrnn.words.text import SIGNS, Vocabulary
from onnx_models import FLOAT, INT64, UINT8, model, tiny, weight_elsewhere

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
JSON = {"size": 8, "mean": [1, 2, 3], "scale": 100}
HOW = Preprocessing(8, (1, 2, 3), 100)
PIXELS = np.random.default_rng(0).normal(size=(3, 3, 8, 8)).astype(np.float32)
MAPS = (PIXELS**2).reshape(3, 3, 2, 4, 2, 4).mean(axis=(3, 5))  # (B, C, 2, 2), by hand
FEATURE = MAPS.mean(axis=(2, 3)) @ (np.arange(15).reshape(3, 5) / 10)


@pytest.fixture
def written(tmp_path):
    """Write a network and its description: written(content, size=8, ...)."""

    def write(content: bytes = b"", name: str = "tiny.onnx", **described) -> Path:
        path = tmp_path / name
        path.write_bytes(content or tiny())
        path.with_suffix(".json").write_text(json.dumps({**JSON, **described}))
        return path

    return write


def refused(path: Path) -> str:
    with pytest.raises(BundleError) as caught:
        open_encoder(str(path))
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 700
    return message


@pytest.mark.parametrize("batch", ["B", "", 1])
@pytest.mark.parametrize("size", ["S", "", 8])
def test_a_matrix_is_the_feature(written, batch, size):
    encoder = open_encoder(str(written(tiny(batch=batch, size=size))))
    assert encoder.dimension == 5
    assert encoder.preprocessing == HOW
    assert encoder.encode_positions is None
    found = encoder.encode(PIXELS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, FEATURE, rtol=1e-5)


@pytest.mark.parametrize("batch", ["B", 1])
def test_a_map_gives_its_mean_and_its_positions(written, batch):
    encoder = open_encoder(str(written(tiny(["map"], batch))))
    assert encoder.dimension == 3
    np.testing.assert_allclose(encoder.encode(PIXELS), MAPS.mean(axis=(2, 3)), rtol=1e-5)
    found = encoder.encode_positions(PIXELS)
    assert found.shape == (3, 4, 3)
    np.testing.assert_allclose(found[1, 2], MAPS[1, :, 1, 0], rtol=1e-5)


@pytest.mark.parametrize(("output", "dimension"), [("map", 3), ("feature", 5), ("mean", 3)])
def test_the_description_chooses_the_output(written, output, dimension):
    encoder = open_encoder(str(written(tiny(["map", "feature", "mean"]), output=output)))
    assert encoder.dimension == dimension
    assert (encoder.encode_positions is None) == (output != "map")


def test_outputs_of_one_file_do_not_share_a_cache(written, picture, tmp_path):
    paths, found = [picture("a.jpg")], []
    for output in ("map", "mean"):
        encoder = open_encoder(str(written(tiny(["map", "mean"]), output=output)))
        features, _ = cached_features(paths, encoder, tmp_path / "cache", lambda done, total: None)
        found.append(features[np.array([0])])
    assert len(list((tmp_path / "cache").iterdir())) == 2
    np.testing.assert_array_equal(*found)  # here the mean of the map is the mean


def test_pictures_are_preprocessed_as_described(written, picture):
    path = picture("a.jpg", seed=1)
    encoder = open_encoder(str(written(crop=0.5, colours="bgr", interpolation="bilinear")))
    how = Preprocessing(8, (1, 2, 3), 100, 0.5, "bilinear", "bgr")
    assert encoder.preprocessing == how
    [feature] = encode_images([path], encoder)
    pixels = preprocess(read_image(path, at_least=16), how)
    np.testing.assert_array_equal(feature, encoder.encode(pixels[None])[0])


def test_the_name_is_fit_for_a_folder(written):
    path = written(name="my \n net[1].onnx")
    encoder = open_encoder(str(path))
    assert encoder.name == "my___net_1_.onnx"
    assert encoder.file.content == path.read_bytes()
    assert encoder.digest == encoder.file.digest


def by_the_batch() -> bytes:
    """A network whose numbers are divided by the largest of all pictures of a batch."""
    nodes = [
        node("ReduceMax", ["pixels"], "largest", keepdims=0),
        node("Div", ["pixels", "largest"], "shares"),
        node("GlobalAveragePool", ["shares"], "map"),
    ]
    return graph(nodes, {"pixels": ("B", 3, 8, 8)}, {"map": ("B", 3, 1, 1)}, [])


def test_a_picture_has_the_same_answer_in_any_company(written):
    encoder = open_encoder(str(written(by_the_batch())))
    together = encoder.encode(PIXELS)
    for row, picture in enumerate(PIXELS):
        alone = encoder.encode(picture[None])[0]
        assert np.array_equal(together[row], alone)
        np.testing.assert_allclose(alone, picture.mean(axis=(1, 2)) / picture.max(), rtol=1e-5)
    assert np.array_equal(encoder.encode_positions(PIXELS)[:, 0], together)


def test_a_network_that_minds_no_company_sees_pictures_together(written, monkeypatch):
    seen = []

    def noted(run, together):
        return lambda pixels: (seen.append(together), in_parts(run, together)(pixels))[1]

    in_parts = onnx_networks.in_parts
    monkeypatch.setattr(onnx_networks, "in_parts", noted)
    for content, together in ((tiny(), at_once()), (by_the_batch(), 1)):
        encoder = open_encoder(str(written(content)))
        seen.clear()
        encoder.encode(PIXELS)
        assert seen == [together]


def test_sums_of_a_file_in_8_bits_do_not_saturate():
    """On any processor: without VNNI, ONNX Runtime must be asked for it."""
    weights = np.full((6, 4), 127, dtype=np.int8)
    one, none = np.array(1, dtype=np.float32), np.array(0, dtype=np.uint8)
    zero = np.zeros((), dtype=np.int8)
    nodes = [
        node("QuantizeLinear", ["x", "step", "middle"], "q"),
        node("DequantizeLinear", ["q", "step", "middle"], "seen"),
        node("DequantizeLinear", ["w", "step", "zero"], "weight"),
        node("MatMul", ["seen", "weight"], "sums"),
    ]
    held = [constant(name, v) for name, v in
            (("step", one), ("middle", none), ("w", weights), ("zero", zero))]  # fmt: skip
    session = open_session(graph(nodes, {"x": ("B", 6)}, {"sums": ("B", 4)}, held))
    [found] = session.run(["sums"], {"x": np.full((3, 6), 255, dtype=np.float32)})
    assert np.array_equal(found, np.full((3, 4), 6 * 255 * 127))


def test_an_upper_case_suffix_is_one(written):
    assert open_encoder(str(written(name="NET.ONNX"))).name == "NET.ONNX"


def test_no_weights_beside_an_onnx_file(written):
    with pytest.raises(UsageError, match=r"tiny\.onnx takes no file of weights; only alexnet does"):
        open_encoder(str(written()), weights=Path("x"))


# Descriptions.


@pytest.mark.parametrize(
    ("described", "what"),
    [
        ({"extra": 1}, "unknown key 'extra'"),
        ({"size": 8.0}, "'size' is 8.0, out of range (not a whole number of pixels)"),
        ({"size": True}, "'size' is True"),
        ({"size": 0}, "impossible preprocessing: size 0"),
        ({"size": 5000}, "impossible preprocessing: size 5000"),
        ({"mean": [1, 2]}, "'mean' is [1, 2], out of range (not a number from 0 or three)"),
        ({"mean": [1, 2, "x"]}, "'mean' is"),
        ({"mean": None}, "'mean' is None"),
        ({"mean": -1}, "'mean' is -1"),
        ({"mean": float("nan")}, "'mean' is nan"),
        ({"scale": [1, 2, 0]}, "impossible preprocessing: size 8, scale (1, 2, 0)"),
        ({"scale": [0.229, 0.224, 0.225]}, "(mean and scale are for values 0..255)"),
        ({"crop": 0}, "'crop' is 0"),
        ({"crop": 1.1}, "'crop' is 1.1"),
        ({"crop": True}, "'crop' is True"),
        ({"interpolation": "nearest"}, """(not "bicubic" or "bilinear")"""),
        ({"colours": ["rgb"]}, """(not "rgb" or "bgr")"""),
        ({"output": ""}, "'output' is ''"),
        ({"output": 3}, "'output' is 3"),
        ({"colours": "x" * 1000}, "'colours' is 'xxx"),
    ],
)
def test_a_wrong_description_is_named(written, described, what):
    message = refused(written(**described))
    assert what in message
    assert message.startswith(str(written()).replace(".onnx", ".json: "))
    assert message.endswith('"scale": [58.395, 57.12, 57.375]}')


@pytest.mark.parametrize("key", ["size", "mean", "scale"])
def test_nothing_that_changes_pixels_is_guessed(written, key):
    path = written()
    path.with_suffix(".json").write_text(json.dumps({k: v for k, v in JSON.items() if k != key}))
    assert f"missing key {key!r}" in refused(path)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "Expecting value: line 1 column 1"),
        (b"[1]", "'the content' is not an object"),
        (b"\xff\xff", "codec can't decode"),
        (b"[" * 100_000, "recursion"),
        (b'{"size": 8,\n "mean": }', "line 2 column 10"),
    ],
)
def test_a_description_that_is_no_object(written, content, what):
    path = written()
    path.with_suffix(".json").write_bytes(content)
    assert what in refused(path)


def test_a_missing_description_shows_one(written):
    path = written()
    path.with_suffix(".json").unlink()
    assert "tiny.json: cannot be read (No such file or directory); it says what" in refused(path)


def test_the_example_in_the_message_is_right(written):
    path = written()
    path.with_suffix(".json").unlink()
    example = json.loads(refused(path).partition("as in: ")[2])
    assert Preprocessing.from_json(example).to_json().keys() == {"size", "mean", "scale"}


# Networks.


def custom(shape, kind=FLOAT, nodes=None, outputs=None, more=()) -> bytes:
    nodes = nodes or [
        node("GlobalAveragePool", ["pixels"], "pooled"),
        node("Flatten", ["pooled"], "y"),
    ]
    return model(nodes, [("pixels", shape, kind), *more], outputs or [("y", ["B", "D"], FLOAT)])


FREE = ["B", 3, "H", "W"]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"not a network at all", "not a network that ONNX Runtime can open"),
        (b"PK\x03\x04" + b"0" * 50, "not a network that ONNX Runtime can open"),
        (
            custom(["B", 8, 8, 4]),
            "its input is pixels tensor(float) ['B', 8, 8, 4]; expected floats of shape",
        ),
        (custom(["B", 1, 8, 8]), "shape (batch, 3, height, width) or (batch, height, width, 3)"),
        (custom(["B", 3, 8]), "its inputs are pixels tensor(float) ['B', 3, 8]; expected one"),
        (custom(FREE, more=[("z", ["B"], FLOAT)]), "; expected one"),
        (custom(["B", 3, 9, 9]), "but the size in the JSON file is 8"),
        (custom(["B", 3, 8, 9]), "height equal width"),
        (
            custom(FREE, UINT8, [node("Identity", ["pixels"], "y")], [("y", FREE, UINT8)]),
            "its inputs are pixels tensor(uint8)",
        ),
        (
            custom(FREE, FLOAT, [node("Shape", ["pixels"], "y")], [("y", [4], INT64)]),
            "its output is y tensor(int64) [4]; expected floats",
        ),
        (
            custom(FREE, FLOAT, [node("ReduceMean", ["pixels"], "y", axes=[0], keepdims=0)]),
            "1 pictures give an output of shape (3, 8, 8)",
        ),
        (
            custom(FREE, FLOAT, [node("ReduceMean", ["pixels"], "y", axes=[3], keepdims=0)]),
            "the output 'y' has 3 tokens a picture, and it cannot be told",
        ),
        (tiny(["map", "mean"]), "its outputs are map tensor(float)"),
        (tiny(["map", "mean"]), """: one must be named in the JSON file, as in "output": "...\""""),
        (tiny(weights=np.full((3, 5), np.nan)), "holds NaN or infinite numbers on a test picture"),
        (tiny(weights=np.full((3, 5), 3e38)), "holds NaN or infinite numbers on a test picture"),
        (tiny(weights=np.ones((4, 5))), "cannot be r"),
    ],
    ids=range(17),
)
def test_a_network_of_another_kind_is_refused(written, content, what):
    path = written(content)
    message = refused(path)
    if what != "cannot be r":  # ONNX Runtime may see it when it loads, or when it runs
        assert what in message
    assert message.startswith(f"{path}: ")


def test_an_output_that_is_not_there(written):
    path = written(tiny(["map", "mean"]), output="other")
    assert "mean tensor(float) ['B', 3]: other is not among them" in refused(path)


def test_inner_values_are_no_outputs(written):
    assert "squares is not among them" in refused(written(output="squares"))


@pytest.mark.parametrize(
    "location",
    ["weights.bin", "../tiny.onnx.data", "ABSOLUTE", "././tiny.onnx.data", "inside/tiny.onnx.data",
     "other.onnx.data", "..", "tiny.onnx.data\0", "", "tiny.onnx"],
)  # fmt: skip
def test_no_other_file_is_read_for_weights(written, tmp_path, monkeypatch, location):
    inside = tmp_path / "inside"
    inside.mkdir()
    for folder in (inside, tmp_path, tmp_path.parent):
        for name in ("weights.bin", "tiny.onnx.data", "other.onnx.data"):
            (folder / name).write_bytes(np.ones(3, np.float32).tobytes())
    monkeypatch.chdir(inside)
    location = location.replace("ABSOLUTE", str(tmp_path / "tiny.onnx.data"))
    path = written(scaled(weight_elsewhere("w", [3], location)))
    message = refused(path)
    assert message.startswith(f"{path}: its weights lie in ")
    assert "; only tiny.onnx.data beside it is read: leave both files the names" in message


def scaled(*weights: bytes) -> bytes:
    """Means of the three channels, times a weight."""
    nodes = [
        node("GlobalAveragePool", ["pixels"], "p"),
        node("Flatten", ["p"], "f"),
        node("Mul", ["f", "w"], "y"),
    ]
    return model(nodes, [("pixels", FREE, FLOAT)], [("y", ["B", 3], FLOAT)], weights)


@pytest.mark.parametrize("name", ["tiny.onnx.data", "tiny.onnx_data", "./tiny.onnx.data"])
def test_weights_in_the_file_beside_travel_with_the_network(written, tmp_path, name):
    weights = np.array([9, 9, 1, 2, 3, 9], np.float32)
    (tmp_path / name).write_bytes(weights.tobytes())
    path = written(scaled(weight_elsewhere("w", [3], name, offset=8, length=12)))
    encoder = open_encoder(str(path))
    path.unlink()
    (tmp_path / name).unlink()
    again = reopen_encoder("tiny.onnx", encoder.digest, encoder.file, encoder.preprocessing)
    for opened in (encoder, again):
        np.testing.assert_allclose(
            opened.encode(PIXELS), PIXELS.mean(axis=(2, 3)) * [1, 2, 3], rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (None, "beside it: cannot be read (No such file or directory); copy both files"),
        (b"1234", "beside it: w should lie at bytes 0 to 12 of 4; copy both files"),
        (b"", "beside it: w should lie at bytes 0 to 12 of 0; copy both files"),
    ],
)
def test_weights_that_are_not_beside(written, tmp_path, content, what):
    path = written(scaled(weight_elsewhere("w", [3], "tiny.onnx.data", length=12)))
    if content is not None:
        (tmp_path / "tiny.onnx.data").write_bytes(content)
    assert f"{path}: its weights lie in tiny.onnx.data {what}" in refused(path)


def test_a_link_to_weights_stays_in_its_folder(written, tmp_path):
    """Caches keep links to files of one folder; one that leads elsewhere may lead anywhere."""
    path = written(scaled(weight_elsewhere("w", [3], "tiny.onnx.data")))
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "w").write_bytes(np.ones(3, np.float32).tobytes())
    (tmp_path / "tiny.onnx.data").symlink_to(tmp_path / "secret" / "w")
    assert "a link that leads into another folder" in refused(path)
    path.rename(tmp_path / "secret" / "n")
    path.symlink_to(tmp_path / "secret" / "n")
    assert open_encoder(str(path)).dimension == 3


def test_weights_beside_that_are_too_many_for_one_file(written, tmp_path, monkeypatch):
    path = written(scaled(weight_elsewhere("w", [3], "tiny.onnx.data")))
    (tmp_path / "tiny.onnx.data").write_bytes(np.ones(3, np.float32).tobytes())
    monkeypatch.setattr("mrnn.images.onnx_files.LARGEST", len(path.read_bytes()) + 11)
    assert "more than 2 GB together with the network" in refused(path)


def test_weights_of_another_size_than_the_file_has(written, tmp_path):
    (tmp_path / "tiny.onnx.data").write_bytes(bytes(20))
    assert "tiny.onnx: not a network that ONNX Runtime can open" in refused(
        written(scaled(weight_elsewhere("w", [3], "tiny.onnx.data")))
    )


@pytest.mark.parametrize(
    "unknown",
    [
        node("Unheard", ["pixels"], "y"),
        node("Unheard", ["pixels"], "y", domain="my.external.operations"),
        node("QLinearUnheard", ["pixels"], "y", domain="com.microsoft"),
    ],
)
def test_an_unknown_operation_is_no_missing_weight(written, unknown):
    message = refused(written(custom(FREE, FLOAT, [unknown])))
    assert "it has an operation that ONNX Runtime " in message
    assert "nheard" in message
    assert "weights" not in message


def test_hugging_face_s_file_in_place_of_ours(written, tmp_path):
    path = written()
    path.with_suffix(".json").unlink()
    theirs = {
        "image_processor_type": "CLIPImageProcessor", "do_resize": True, "resample": 2,
        "size": {"shortest_edge": 10}, "do_center_crop": True, "output": "feature",
        "crop_size": {"height": 8, "width": 8}, "do_rescale": True, "rescale_factor": 1 / 255,
        "do_normalize": True, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.1],
    }  # fmt: skip
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(theirs))
    how = open_encoder(str(path)).preprocessing
    np.testing.assert_allclose((*how.mean, *how.scale), (127.5, 102, 76.5, 51, 51, 25.5))
    assert (how.size, how.crop, how.interpolation, how.output) == (8, 0.8, "bilinear", "feature")
    path.with_suffix(".json").write_text(json.dumps(theirs))  # it may have our file's name
    assert open_encoder(str(path)).preprocessing == how
    (tmp_path / "onnx").mkdir()
    path.rename(tmp_path / "onnx" / "tiny.onnx")  # as some publish them: theirs is one folder above
    assert open_encoder(str(tmp_path / "onnx" / "tiny.onnx")).preprocessing == how
    (tmp_path / "onnx" / "tiny.onnx").rename(path)
    (tmp_path / "preprocessor_config.json").write_text("[]")  # ours goes first
    assert open_encoder(str(path)).preprocessing == how
    path.with_suffix(".json").unlink()
    assert f"{tmp_path}/preprocessor_config.json: 'the content' is not an object" in refused(path)


def test_a_bundle_carries_the_network_to_any_machine(written, tmp_path, picture):
    """The same bits, when the file it came from is gone; and `mrnn info` tells of it."""
    path = written(tiny(["map", "feature"], batch=1), output="feature", crop=0.9, colours="bgr")
    encoder = open_encoder(str(path))
    save(encoder, tmp_path / "model")
    path.unlink()
    path.with_suffix(".json").unlink()
    captioner = mrnn.load(tmp_path / "model", device="cpu")
    np.testing.assert_array_equal(captioner.encoder.encode(PIXELS), encoder.encode(PIXELS))
    assert captioner.encoder.preprocessing == encoder.preprocessing
    assert captioner.caption(picture("a.jpg")).words
    said = told(tmp_path / "model")
    assert said["file"] == "encoder.onnx"
    assert said["output"] == "feature"


def test_a_bundle_says_which_token_is_the_feature(written, tmp_path):
    nodes = [
        node("Reshape", ["pixels", "flat"], "flattened"),
        node("Transpose", ["flattened"], "y", perm=[0, 2, 1]),
    ]
    flat = constant("flat", np.array([0, 3, -1]))
    floats = [("pixels", FREE, FLOAT)], [("y", ["B", "T", 3], FLOAT)]
    encoder = open_encoder(str(written(model(nodes, *floats, [flat]))))
    save(encoder, tmp_path / "model")
    assert told(tmp_path / "model")["pooling"] == "mean"
    captioner = mrnn.load(tmp_path / "model", device="cpu")
    np.testing.assert_allclose(
        captioner.encoder.encode(PIXELS), PIXELS.mean(axis=(2, 3)), atol=1e-6
    )
    assert captioner.encoder.remark == ""


def told(model_folder: Path) -> dict:
    """What `mrnn info` says of the encoder."""
    said = about(str(model_folder), "cpu", None)
    schema = json.loads((SCHEMAS / "info.json").read_text())
    jsonschema.validate(json.loads(json.dumps(said)), schema)
    return said["encoder"]


def save(encoder: Encoder, folder: Path) -> None:
    vocabulary = Vocabulary(SIGNS + WORDS)
    training = {"data": "birds", "split": "train", "stopped_on": "dev", "images": 8}
    training |= {"sentences": 16, "config": {"seed": 1, "minimum_count": 1}}
    bundle = Bundle(
        tiny_model(len(vocabulary), feature=encoder.dimension),
        vocabulary,
        EncoderIdentity(encoder.name, encoder.digest, encoder.preprocessing),
        np.ones((4, encoder.dimension), np.float16),
        training,
        encoder_file=encoder.file,
    )
    save_bundle(bundle, folder)


def test_a_bundle_with_a_network_that_is_none_names_the_file(tmp_path):
    file = EncoderFile.of("encoder.onnx", b"nothing", "model/encoder.onnx")
    with pytest.raises(BundleError, match=r"^model/encoder.onnx: not a network that ONNX Runtime"):
        reopen_encoder("net.onnx", file.digest, file, HOW)


def test_a_missing_file_and_a_folder(tmp_path):
    assert "no.onnx: cannot be read (No such file" in refused(tmp_path / "no.onnx")
    (tmp_path / "folder.onnx").mkdir()
    assert "not a regular file" in refused(tmp_path / "folder.onnx")


def test_mutated_networks_are_refused_or_run():
    source = random.Random(0)
    sound = tiny(["feature", "map"])
    how = Preprocessing(8, output="feature")
    opened = 0
    for _ in range(300):
        content = bytearray(sound)
        for _ in range(source.randint(1, 2)):
            content[source.randrange(len(content))] = source.randrange(256)
        if source.random() < 0.2:
            del content[source.randrange(len(content)) :]
        try:
            network = open_network(bytes(content), how, "x.onnx")
        except BundleError as error:
            assert str(error).startswith("x.onnx: ")  # noqa: PT017
            assert str(error).isprintable()  # noqa: PT017
        else:
            opened += 1
            assert np.isfinite(network.encode(PIXELS)).all()
    assert opened > 5


def test_mutated_files_beside_a_network_are_refused_or_read(written, tmp_path):
    """The network, its weights and Hugging Face's file: whatever is in them, the fault is named."""
    source = random.Random(1)
    path = written(scaled(weight_elsewhere("w", [3], "tiny.onnx.data", offset=4, length=12)))
    path.with_suffix(".json").unlink()
    theirs = {
        "image_processor_type": "ViTImageProcessor", "size": {"height": 8, "width": 8},
        "resample": 2, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
    }  # fmt: skip
    files = {
        path: path.read_bytes(),
        tmp_path / "tiny.onnx.data": np.ones(4, np.float32).tobytes(),
        tmp_path / "preprocessor_config.json": json.dumps(theirs).encode(),
    }
    opened = 0
    for _ in range(300):
        for file, sound in files.items():
            content = bytearray(sound)
            if source.random() < 0.5:
                content[source.randrange(len(content))] = source.randrange(256)
            if source.random() < 0.1:
                del content[source.randrange(len(content)) :]
            file.write_bytes(content)
        try:
            encoder = open_encoder(str(path))
        except BundleError as error:
            assert str(error).startswith(str(tmp_path))  # noqa: PT017
            assert str(error).isprintable()  # noqa: PT017
        else:
            opened += 1
            assert encoder.encode(PIXELS).shape == (3, 3)
    assert opened > 20
