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
    codes = np.random.default_rng(0).integers(-63, 64, (2, 32, 32))
    [found] = integer_product(32)()
    np.testing.assert_array_equal(found, codes[0] @ codes[1])
