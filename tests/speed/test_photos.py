"""Made photographs: as many as asked for, of these sizes, no two alike."""

from __future__ import annotations

from PIL import Image

from mrnn.speed.photos import write_photos


def test_photos_take_their_sizes_by_turns(tmp_path):
    paths = write_photos(tmp_path, 5, [(64, 48), (30, 40)])
    assert sorted(tmp_path.iterdir()) == paths
    sizes = []
    for path in paths:
        with Image.open(path) as photo:
            assert photo.format == "JPEG"
            sizes.append(photo.size)
    assert sizes == [(64, 48), (30, 40), (64, 48), (30, 40), (64, 48)]
    assert len({path.read_bytes() for path in paths}) == 5


def test_photos_are_the_same_each_time(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    one, other = ([p.read_bytes() for p in write_photos(tmp_path / n, 2)] for n in ("one", "other"))
    assert one == other
