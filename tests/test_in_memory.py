"""Pictures in memory are captioned, scored, explained and ranked as their files are."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from libraries import save_seeing, seeing
from mrnn.captioner import load
from mrnn.errors import BundleError, ImageError, UsageError
from mrnn.library.library import Library

SENTENCES = ["a dog runs", "the cat sits in the snow"]
SEVERAL = {
    "caption": (),
    "score": (SENTENCES,),
    "explain": (),
    "rank_sentences": (SENTENCES,),
    "terms_of": (),
}


def forms(path: Path) -> list:
    """A picture in all the forms that give what its file gives, to the last bit."""
    content = path.read_bytes()
    image = Image.open(io.BytesIO(content))
    return [str(path), content, io.BytesIO(content), image, np.asarray(image)]


def test_all_forms_of_a_picture_give_the_same(captioner, picture):
    path = picture("a.jpg")
    caption = captioner.caption(path)
    assert [captioner.caption(same) for same in forms(path)] == [caption] * 5


def test_all_methods_take_them_all(picture):
    captioner, path = seeing(), picture("a.png")  # of a JPEG less is decoded for a tiny input
    caption, scores = captioner.caption(path, beam=3), captioner.score(path, SENTENCES)
    ranking, why = captioner.rank_sentences(path, SENTENCES), captioner.explain(path)
    [term] = captioner.terms_of(path)
    for same in forms(path):
        assert captioner.caption(same, beam=3) == caption
        assert captioner.score(same, SENTENCES) == scores
        assert captioner.rank_sentences(same, SENTENCES).matches == ranking.matches
        assert captioner.explain(same) == why
        assert np.array_equal(captioner.terms_of(same)[0], term)
    together = list(captioner.caption_many(forms(path), beam=3))
    assert together == [captioner.caption(path, beam=3, alternatives=0)] * 5
    matches = captioner.rank_images("a dog runs", forms(path)).matches
    assert len({(m.logprob, m.perplexity, m.log_ratio) for m in matches}) == 1


def test_results_know_their_picture(captioner, picture):
    path = picture("a.jpg")
    _, content, _, image, _ = forms(path)
    for asked, name in ((path, str(path)), (str(path), str(path)), (content, "<image>")):
        assert captioner.caption(asked).image == name
        assert captioner.explain(asked, quick=True).caption.image == name
        assert captioner.rank_sentences(asked, SENTENCES).query == name
    mixed = [content, path, b"bad", image, "gone.jpg"]
    names = ["<images[0]>", str(path), "<images[2]>", "<images[3]>", "gone.jpg"]
    assert [result.image for result in captioner.caption_many(iter(mixed))] == names
    ranking = captioner.rank_images("a dog", mixed)
    assert sorted(match.item for match in ranking.matches) == sorted(names[i] for i in (0, 1, 3))
    assert [(name, error.image) for name, error in ranking.errors] == [
        *(("<images[2]>", "<images[2]>"), ("gone.jpg", "gone.jpg"))
    ]


def test_one_bad_picture_stops_no_other(captioner, picture):
    content = picture("a.jpg").read_bytes()
    bad = [None, np.zeros((3, 9, 9)), b"", io.StringIO(), content[:300], object()]
    results = list(captioner.caption_many([content, *bad, content]))
    codes = [result.code if isinstance(result, ImageError) else "" for result in results]
    assert codes == [
        *("", "not-an-image", "unsupported", "empty", "not-an-image", "damaged"),
        *("not-an-image", ""),
    ]
    for thing in bad:
        with pytest.raises(ImageError) as caught:
            captioner.caption(thing)
        assert caught.value.image == "<image>"


def test_a_stream_is_read_ahead_while_its_buffer_is_used_again():
    captioner = seeing(seed=3)
    frames = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), np.uint8)

    def stream():
        buffer = np.empty_like(frames[0])
        for frame in frames:
            buffer[:] = frame
            yield buffer

    found = list(captioner.caption_many(stream()))
    assert found == list(captioner.caption_many(frames))  # a stack is its pictures
    assert len({caption.text for caption in found}) > 1


@pytest.mark.parametrize("method", SEVERAL)
def test_a_list_where_one_picture_is_meant_is_refused(captioner, picture, method):
    path = picture("a.jpg")
    instead = "caption_many takes several" if method == "caption" else "give one at a time"
    for several in ([path], (path, path), iter([path]), np.zeros((2, 9, 9, 3), np.uint8)):
        with pytest.raises(UsageError, match=rf"^one image is meant, not a \w+: {instead}$"):
            getattr(captioner, method)(several, *SEVERAL[method])


@pytest.mark.parametrize("one", [Image.new("RGB", (9, 9)), np.zeros((9, 9, 3), np.uint8)])
def test_one_picture_where_several_are_meant_is_refused(captioner, one):
    for ask in (captioner.caption_many, lambda images: captioner.rank_images("a dog", images)):
        with pytest.raises(
            UsageError, match=r"images are one \w+, not several: put it into a list"
        ):
            ask(one)


@pytest.mark.parametrize("sentence", [["a dog"], None, 5, b"a dog", Path("a dog")])
def test_a_sentence_is_text(tmp_path, picture, sentence):
    captioner, path = seeing(), picture("a.jpg")
    said = rf"a sentence is text, and {type(sentence).__name__} is none: "
    with pytest.raises(UsageError, match=said):
        captioner.score(path, [sentence])
    with pytest.raises(UsageError, match=said):
        captioner.rank_images(sentence, [path])
    with pytest.raises(UsageError, match=said):
        captioner.rank_sentences(path, ["a dog", sentence])
    if sentence is not None:  # then it explains one of its own
        with pytest.raises(UsageError, match=said):
            captioner.explain(path, sentence)
    with Library.open(tmp_path / "library", captioner) as library:
        library.add(path)
        with pytest.raises(UsageError, match=said):
            library.search(sentence)


def test_a_library_finds_what_is_like_a_picture_in_memory(tmp_path, picture):
    photos = [picture(f"{i}.jpg", seed=i) for i in range(3)]
    with Library.open(tmp_path / "library", seeing()) as library:
        library.add(photos)
        wanted = library.like(photos[1])
        for same in forms(photos[1])[1:3]:
            assert library.like(same).found == wanted.found
        for decoded in forms(photos[1])[3:]:  # in full: of a file less is decoded for a tiny input
            assert [f.picture for f in library.like(decoded).found] == [
                found.picture for found in wanted.found
            ]
        assert library.like(photos[1].read_bytes()).query == "<image>"
        with pytest.raises(UsageError, match="one image is meant, not a list"):
            library.like(photos)
        with pytest.raises(ImageError, match="<image>: NoneType is no picture"):
            library.like(None)


def test_a_library_takes_no_picture_that_it_could_not_read_again(tmp_path, picture):
    path = picture("a.jpg")
    said = r"takes paths, and \w+ is none: .* save it first, and add the file"
    with Library.open(tmp_path / "library", seeing()) as library:
        for thing in forms(path)[1:]:
            with pytest.raises(UsageError, match=said):
                library.add(thing)
            with pytest.raises(UsageError, match=said):
                library.add([path, thing])
            with pytest.raises(UsageError, match=said):
                library.remove([thing])
        with path.open("rb") as file, pytest.raises(UsageError, match="BufferedReader is none"):
            library.add(file)
        with pytest.raises(UsageError, match="dict is none"):
            library.add({"a.jpg": path.read_bytes()})
        assert not (tmp_path / "library").exists()
        assert library.add([str(path), path]).new == 1


def test_a_captioner_is_opened_again_in_another_process(tmp_path, picture):
    path = picture("a.jpg")
    captioner = load(save_seeing(tmp_path / "model"), "cpu")
    content = pickle.dumps(captioner)
    assert len(content) < 1000
    assert pickle.loads(content).caption(path) == captioner.caption(path)
    save_seeing(tmp_path / "model2", seed=3)
    for folder in ("model", "model2"):
        (tmp_path / folder).rename(tmp_path / f"{folder}-moved")
    (tmp_path / "model2-moved").rename(tmp_path / "model")
    with pytest.raises(BundleError, match=r"model: another model lies there now; load it anew"):
        pickle.loads(content)


def test_an_error_goes_from_one_process_to_another():
    error = pickle.loads(pickle.dumps(ImageError("empty", "a.jpg: the file is empty", "a.jpg")))
    assert (error.code, str(error), error.image) == ("empty", "a.jpg: the file is empty", "a.jpg")
