"""Files of weights: what is viewed or mapped is what the safetensors library reads."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest

from mrnn.weight_files import from_safetensors, map_safetensors, to_safetensors, view_safetensors

ARRAYS = {
    "halves": np.arange(6, dtype=np.float16).reshape(2, 3),
    "floats": np.linspace(0, 1, 5, dtype=np.float32),
    "codes": np.arange(-3, 4, dtype=np.int8),
    "rows": np.array([[1, 2]], dtype=np.int32),
    "starts": np.array([0, 7], dtype=np.int64),
    "number": np.array(2.5, dtype=np.float32),
    "nothing": np.zeros((0, 4), dtype=np.float16),
}
CONTENT = to_safetensors(ARRAYS)


def test_views_are_what_the_library_reads(tmp_path):
    (tmp_path / "file").write_bytes(CONTENT)
    expected = from_safetensors(CONTENT)
    for found in (view_safetensors(CONTENT), map_safetensors(tmp_path / "file")):
        assert found.keys() == expected.keys()
        for name, array in found.items():
            assert array.dtype == expected[name].dtype
            assert np.array_equal(array, expected[name]), name
            assert array.shape == expected[name].shape
            assert not array.flags.writeable


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234567",
        CONTENT[:100],
        CONTENT[:-1],
        b"\xff" * 8 + CONTENT[8:],
        (2).to_bytes(8, "little") + b"[]"[:1] + b"x",
        (4).to_bytes(8, "little") + b"null",
    ],
)
def test_what_is_no_such_file_is_refused(content):
    with pytest.raises(ValueError, match="not a safetensors file"):
        view_safetensors(content)


@pytest.mark.parametrize(
    "change",
    [
        {"data_offsets": [0, 10**12]},
        {"data_offsets": [8, 0]},
        {"data_offsets": [-4, 4]},
        {"shape": [3, 3]},
        {"shape": [-1, 3]},
        {"dtype": "BF16"},
        {"dtype": None},
        {"more": 1},
    ],
)
def test_headers_that_do_not_fit_are_refused(change):
    length = int.from_bytes(CONTENT[:8], "little")
    header = json.loads(CONTENT[8 : 8 + length])
    header["halves"] |= change
    text = json.dumps(header).encode()
    with pytest.raises(ValueError, match="not a safetensors file"):
        view_safetensors(len(text).to_bytes(8, "little") + text + CONTENT[8 + length :])


def test_mutated_files_raise_nothing_but_value_errors():
    source = random.Random(0)
    for _ in range(2000):
        content = bytearray(CONTENT)
        for _ in range(source.randrange(1, 4)):
            content[source.randrange(len(content))] = source.randrange(256)
        try:
            view_safetensors(bytes(content))
        except ValueError:
            continue
