"""What is read of chances."""

from __future__ import annotations

import pytest

from mrnn.records import likely_right, percent


@pytest.mark.parametrize(
    ("chance", "told"),
    [(0.0, "<1%"), (0.0099, "<1%"), (0.01, "1%"), (0.784, "78%"), (0.99, "99%"), (1.0, ">99%")],
)
def test_nothing_is_certain(chance, told):
    assert percent(chance) == told
    assert likely_right(chance) == f"{told} likely right"
