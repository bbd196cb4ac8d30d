"""Both libraries multiply the same matrices; how fast is not tested."""

from __future__ import annotations

import numpy as np

from mrnn.speed.products import integer_product, numpy_product, onnx_product


def test_both_products_are_the_same():
    right = numpy_product(32)()
    [found] = onnx_product(32)()
    assert right.shape == (32, 32)
    np.testing.assert_allclose(found, right, rtol=1e-5, atol=1e-5)


def test_the_product_of_integers_is_theirs():
    draw = np.random.default_rng(0)
    m, weight = draw.integers(-63, 64, (5, 32)), draw.integers(-127, 128, (32, 9))
    [found] = integer_product(5, 32, 9)()
    np.testing.assert_array_equal(found[:, 0], (m @ weight).max(axis=1))
