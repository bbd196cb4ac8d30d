"""Where captions go beside what is printed: tables, sidecars of other programs, pictures."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, IptcImagePlugin, PngImagePlugin

from command_lines import run
from mrnn.commands.caption_table import caption_table
from mrnn.commands.places import Held, pending
from mrnn.commands.sidecars import marked_sidecars, plain_sidecars
from mrnn.commands.xmp_files import XmpName, embedded, xmp_sidecars
from mrnn.errors import DataError, ImageError, UsageError
from mrnn.images.xmp import Description, read_description, with_description
from mrnn.model.bundle import save_bundle
from mrnn.results import Caption

THEIRS = with_description(None, "my dog", "").replace(b"mrnn:ns", b"another")
HEADER = "path,caption,sure,main_word,strangeness,logprob,perplexity\n"


def caption(text: str = "a dog runs") -> Caption:
    return Caption(text, -3.0, 2.0, True, (), main_word="dog", sure=0.5, strangeness=0.25)


def description(path: Path) -> Description | None:
    return read_description(path.read_bytes(), "")


def refused(place, image: Path) -> str:
    with pytest.raises(ImageError) as caught:
        place.look(image)
    assert caught.value.code == "sidecar"
    return str(caught.value)


@pytest.fixture
def model(tiny_bundle, tmp_path):
    path = tmp_path / "model"
    save_bundle(tiny_bundle, path)
    return path


# XMP beside pictures


def test_a_new_sidecar_has_the_whole_name(picture):
    image = picture("dog.jpg")
    place = xmp_sidecars(None)
    assert place.look(image) is Held.NOTHING
    place.write(image, caption())
    assert place.look(image) is Held.OURS
    assert description(image.with_name("dog.jpg.xmp")) == Description("a dog runs", True)
    place.write(image, caption("a cat sits"))
    assert sorted(p.name for p in image.parent.iterdir()) == ["dog.jpg", "dog.jpg.xmp"]


@pytest.mark.parametrize("there", ["dog.jpg.xmp", "dog.xmp", "dog.XMP", "dog.jpg.XMP"])
def test_the_sidecar_that_is_there_is_used(picture, there):
    image = picture("dog.jpg")
    image.with_name(there).write_bytes(
        b'<RDF xmlns="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/>'
    )
    xmp_sidecars(None).write(image, caption())
    assert sorted(p.name for p in image.parent.iterdir()) == sorted(["dog.jpg", there])
    assert description(image.with_name(there)) == Description("a dog runs", True)


@pytest.mark.parametrize("other", ["dog.png", "dog.CR2", "dog.jpeg", "dog.mov"])
def test_a_sidecar_that_may_be_of_another_file_is_left_alone(picture, other):
    image = picture("dog.jpg")
    image.with_name(other).touch()
    image.with_name("dog.xmp").write_bytes(THEIRS)
    place = xmp_sidecars(None)
    assert place.look(image) is Held.NOTHING
    place.write(image, caption())
    assert image.with_name("dog.xmp").read_bytes() == THEIRS
    assert description(image.with_name("dog.jpg.xmp")) == Description("a dog runs", True)
    told = refused(xmp_sidecars(XmpName.STEM), image)
    assert f"dog.xmp: not written for dog.jpg, since it is shared with {other}; " in told
    assert told.endswith("--xmp-name photo.jpg.xmp keeps them apart")


def test_adobe_says_of_which_file_a_sidecar_is(picture):
    image = picture("dog.jpg")
    stem = image.with_name("dog.xmp")
    document = b"""<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><r:Description
    xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" photoshop:SidecarForExtension="%s"/>
    </r:RDF>"""
    stem.write_bytes(document % b"CR2")
    assert "of a file with another suffix" in refused(xmp_sidecars(XmpName.STEM), image)
    xmp_sidecars(None).write(image, caption())
    assert stem.read_bytes() == document % b"CR2"
    stem.write_bytes(document % b"JPG")
    xmp_sidecars(XmpName.STEM).write(image, caption())
    assert description(stem) == Description("a dog runs", True)


def test_lightrooms_name_is_used_on_request(picture):
    image = picture("dog.jpg")
    picture("dogs.jpg")
    xmp_sidecars(XmpName.STEM).write(image, caption())
    assert description(image.with_name("dog.xmp")) == Description("a dog runs", True)
    xmp_sidecars(XmpName.FULL).write(image, caption())
    assert description(image.with_name("dog.jpg.xmp")) == Description("a dog runs", True)


def test_what_the_user_wrote_into_the_picture_is_not_hidden_by_a_sidecar(picture):
    image = picture("dog.jpg")
    Image.open(image).save(image, xmp=THEIRS)
    assert xmp_sidecars(None).look(image) is Held.THEIRS
    assert embedded().look(image) is Held.THEIRS


@pytest.mark.parametrize(("text", "held"), [(b"my dog", Held.THEIRS), (b" \0", Held.NOTHING)])
def test_a_caption_of_picasa_counts_too(picture, text, held):
    image = picture("dog.jpg")
    data = b"\x1c\x02\x00\0\2\0\2" + b"\x1c\x02\x78" + len(text).to_bytes(2, "big") + text
    body = b"Photoshop 3.0\08BIM\x04\x04\0\0" + len(data).to_bytes(4, "big") + data
    content = image.read_bytes()
    segment = b"\xff\xed" + (len(body) + 2).to_bytes(2, "big") + body
    image.write_bytes(content[:2] + segment + content[2:])
    with Image.open(image) as opened:
        assert IptcImagePlugin.getiptcinfo(opened)[(2, 120)] == text
    assert embedded().look(image) is held
    assert xmp_sidecars(None).look(image) is held


@pytest.mark.parametrize("kind", ["tif", "gif", "avif"])
def test_nor_is_it_where_nothing_of_ours_can_be_put(picture, kind):
    image = picture(f"dog.{kind}")
    assert xmp_sidecars(None).look(image) is Held.NOTHING
    if kind == "gif":  # as it stands there (XMP specification, part 3)
        extension = b"!\xff\x0bXMP DataXMP" + THEIRS + bytes(range(1, 256)) + b"\0\0"
        image.write_bytes(image.read_bytes()[:-1] + extension + b";")
    elif kind == "tif":
        Image.open(image).save(image, tiffinfo={700: THEIRS})
    else:
        Image.open(image).save(image, xmp=THEIRS)
    assert xmp_sidecars(None).look(image) is Held.THEIRS


@pytest.mark.parametrize("form", ["tEXt", "zTXt", "iTXt", "packed iTXt"])
def test_nor_a_description_in_the_text_of_a_png(picture, form):
    image = picture("dog.png")
    for text, held in ((" ", Held.NOTHING), ("my dog, über alles", Held.THEIRS)):
        info = PngImagePlugin.PngInfo()
        is_packed = form in ("zTXt", "packed iTXt")
        add = info.add_itxt if "iTXt" in form else info.add_text
        add("Description", text, zip=is_packed)
        info.add_text("Software", "mine")
        Image.open(image).save(image, pnginfo=info)
        assert xmp_sidecars(None).look(image) is held
        assert embedded().look(image) is held


def test_what_cannot_be_told_is_not_hidden_either(picture):
    image = picture("dog.jpg")
    Image.open(image).save(image, xmp=b"<broken")
    with pytest.raises(ImageError, match=r"dog\.jpg: cannot be used as XMP"):
        xmp_sidecars(None).look(image)


@pytest.mark.parametrize("theirs", ["dog.jpg.xmp", "dog.xmp"])
def test_a_description_in_any_sidecar_of_a_photo_counts(picture, theirs):
    image = picture("dog.jpg")
    for name in ("dog.jpg.xmp", "dog.xmp"):
        image.with_name(name).write_bytes(THEIRS.replace(b"my dog", b" "))
    places = [xmp_sidecars(None), *map(xmp_sidecars, XmpName), embedded()]
    assert [place.look(image) for place in places] == [Held.NOTHING] * 4
    image.with_name(theirs).write_bytes(THEIRS)
    assert [place.look(image) for place in places] == [Held.THEIRS] * 4
    picture("dog.png")  # the other one may be of this
    told = Held.NOTHING if theirs == "dog.xmp" else Held.THEIRS
    assert [place.look(image) for place in (xmp_sidecars(None), embedded())] == [told, told]


def test_a_caption_that_was_taken_away_does_not_come_back(picture):
    image = picture("dog.jpg")
    for place, path in ((xmp_sidecars(None), image.with_name("dog.jpg.xmp")), (embedded(), image)):
        place.write(image, caption())
        content = path.read_bytes()
        start = content.index(b"<dc:description")
        end = content.index(b"</dc:description>") + 17
        path.write_bytes(content[:start] + b" " * (end - start) + content[end:])
        assert place.look(image) is Held.OURS
        place.write(image, caption("a cat"))  # on request, with --overwrite
        assert (place.look(image), b"a cat" in path.read_bytes()) == (Held.OURS, True)


def test_an_empty_sidecar_is_filled(picture):
    image = picture("dog.jpg")
    sidecar = image.with_name("dog.jpg.xmp")
    sidecar.touch()
    assert xmp_sidecars(None).look(image) is Held.NOTHING
    xmp_sidecars(None).write(image, caption())
    assert description(sidecar) == Description("a dog runs", True)


def test_a_sidecar_keeps_its_mode_and_gets_a_new_date(picture):
    image = picture("dog.jpg")
    place = xmp_sidecars(None)
    place.write(image, caption())
    sidecar = image.with_name("dog.jpg.xmp")
    sidecar.chmod(0o600)
    os.utime(sidecar, (1, 1))
    place.write(image, caption("a cat"))
    assert (sidecar.stat().st_mode & 0o777, sidecar.stat().st_mtime > 1) == (0o600, True)


def test_a_sidecar_that_is_no_xmp_or_no_file_stays(picture):
    image = picture("dog.jpg")
    sidecar = image.with_name("dog.jpg.xmp")
    sidecar.write_text("notes")
    with pytest.raises(ImageError, match="cannot be used as XMP"):
        xmp_sidecars(None).look(image)
    assert sidecar.read_text() == "notes"
    sidecar.unlink()
    sidecar.symlink_to(image)
    assert "is a link or no file; left as it is" in refused(xmp_sidecars(None), image)


# In the picture itself


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_pixels_mode_and_dates_of_a_picture_stay(picture, suffix):
    image = picture(f"dog.{suffix}")
    image.chmod(0o640)
    os.utime(image, ns=(10**18 + 1, 10**18 + 3))
    before = np.asarray(Image.open(image))
    place = embedded()
    assert place.look(image) is Held.NOTHING
    place.write(image, caption())
    assert np.array_equal(np.asarray(Image.open(image)), before)
    status = image.stat()
    assert (status.st_mtime_ns, status.st_mode & 0o777) == (10**18 + 3, 0o640)
    assert place.look(image) is Held.OURS
    content = image.read_bytes()
    place.write(image, caption())
    assert image.read_bytes() == content
    assert list(image.parent.iterdir()) == [image]


def test_what_may_not_be_written_is_told_before(picture, monkeypatch):
    image = picture("dog.jpg")
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    for place in (embedded(), xmp_sidecars(None), marked_sidecars(), plain_sidecars(".txt")):
        assert refused(place, image).endswith("cannot be written (Permission denied)")


def test_what_a_link_leads_to_is_written_and_the_link_stays(picture):
    image = picture("real/dog.jpg")
    link = image.parent.parent / "dog.jpg"
    link.symlink_to(image)
    embedded().write(link, caption())
    assert link.is_symlink()
    assert embedded().look(image) is Held.OURS


def test_a_picture_survives_a_full_disk(picture, monkeypatch):
    image = picture("dog.jpg")
    before = image.read_bytes()

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ImageError, match=r"cannot be written \(No space left on device"):
        embedded().write(image, caption())
    assert image.read_bytes() == before
    assert list(image.parent.iterdir()) == [image]


def test_a_kind_of_file_that_takes_none_is_told(picture):
    with pytest.raises(ImageError, match="write a sidecar with --xmp"):
        embedded().look(picture("dog.gif"))


@pytest.mark.skipif(not shutil.which("exiftool"), reason="exiftool is not installed")
def test_exiftool_reads_it_and_what_it_wrote_stays(picture):
    images = [picture(name) for name in ("a.jpg", "b.png", "c.webp")]
    sidecar = images[0].with_name("a.jpg.xmp")
    given = ["-XMP-dc:Description-de=ein Hund", "-XMP-dc:Title=mine", "-XMP:Rating=4"]
    subprocess.run(["exiftool", "-q", "-overwrite_original", *given, *images], check=True)
    subprocess.run(["exiftool", "-q", "-o", sidecar, *given], check=True)
    for image in images:
        embedded().write(image, caption("a dog é <&>"))
    xmp_sidecars(None).write(images[0], caption("a dog é <&>"))
    asked = ["exiftool", "-s", "-XMP:all", "-validate", "-warning", "-a", *images, sidecar]
    told = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    for line in ("Description", "Description-de", "Title", "Rating", "Validate"):
        assert sum(row.split(" ")[0] == line for row in told.splitlines()) == 4
    assert told.count("a dog é <&>\n") == 8  # twice, with our own mark
    assert told.count(": OK\n") == 4


# The caption alone


def test_a_plain_sidecar_holds_the_caption_alone(picture):
    image = picture("dog.v2.jpg")
    place = plain_sidecars(".txt")
    assert place.look(image) is Held.NOTHING
    place.write(image, caption())
    assert image.with_name("dog.v2.txt").read_text() == "a dog runs\n"
    assert place.look(image) is Held.OURS


def test_a_plain_sidecar_of_two_pictures_is_written_for_neither(picture):
    image, other = picture("dog.jpg"), picture("dog.png")
    told = refused(plain_sidecars(".txt"), image)
    assert told.endswith(
        "dog.txt: would be of dog.jpg and of dog.png; rename or remove one of them"
    )
    refused(plain_sidecars(".txt"), other)


@pytest.mark.parametrize("place", [plain_sidecars(".txt"), xmp_sidecars(XmpName.STEM)])
def test_pictures_with_other_suffixes_share_one_too(picture, place):
    first = picture("a.jpg").rename(picture("a.jpg").with_name("scan.001"))
    second = picture("b.png").rename(first.with_name("scan.002"))
    (first.parent / "scan.log").write_text("not a picture")
    told = refused(place, first)
    assert ("scan.002" in told, "scan.log" in told) == (True, False)
    refused(place, second)


def test_a_sidecar_of_the_whole_name_is_not_one_of_the_stem(picture):
    image, other = picture("dog.jpg.png"), picture("dog.jpg")
    xmp_sidecars(None).write(other, caption())
    assert xmp_sidecars(None).look(image) is Held.NOTHING
    assert "shared with dog.jpg;" in refused(xmp_sidecars(XmpName.STEM), image)


def test_a_picture_that_is_called_so_itself_stays(picture):
    image = picture("dog.jpg").rename(picture("dog.jpg").with_name("dog.txt"))
    assert "or the image itself; left as it is" in refused(plain_sidecars(".txt"), image)


def test_a_name_too_long_for_a_sidecar_is_one_images_fault(picture):
    image = picture("x" * 250 + ".jpg")
    for place in (xmp_sidecars(None), xmp_sidecars(XmpName.FULL), marked_sidecars()):
        assert place.look(image) is Held.NOTHING
        with pytest.raises(ImageError, match="File name too long"):
            place.write(image, caption())
    picture("y" * 247 + ".png")  # which has no room for .new
    image = image.with_name("y" * 247 + ".png")
    with pytest.raises(ImageError, match="File name too long"):
        embedded().write(image, caption())


WRONG_SUFFIXES = ["txt", "", ".", ".JPG", "./x", ".a/b", ".xmp", ".a.", ".jpg.XMP", ".a.png"]
OF_OTHER_FILES = [".cr2", ".DNG", ".mov", ".psd", ".json", ".csv", ".jpg.caption.txt"]


@pytest.mark.parametrize("suffix", WRONG_SUFFIXES + OF_OTHER_FILES)
def test_suffixes_that_would_do_harm_are_refused(suffix):
    with pytest.raises(UsageError, match="--sidecar-suffix"):
        plain_sidecars(suffix)


@pytest.mark.parametrize("content", [b"a\0", b"\xff\xd8", b"x" * (1 << 20) + b"x"])
def test_what_is_no_text_is_not_replaced(picture, content):
    image = picture("dog.jpg")
    other = image.with_name("dog.odd")
    other.write_bytes(content)
    assert "dog.odd: is no plain text; left as it is" in refused(plain_sidecars(".odd"), image)
    other.write_text("BMX, draußen\n\n犬\n", encoding="utf-8")
    assert plain_sidecars(".odd").look(image) is Held.OURS


# A table


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder, in which the command is given."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_a_table_grows_and_is_gone_on_with(here):
    path = here / "captions.csv"
    place = caption_table(path, False)
    assert not path.exists()
    place.write(Path("a.jpg"), caption('a "dog", runs'))
    assert rows(path)[1] == ["a.jpg", 'a "dog", runs', "0.5", "dog", "0.25", "-3.0", "2.0"]
    assert (place.look(Path("a.jpg")), place.look(Path("b.jpg"))) == (Held.OURS, Held.NOTHING)
    again = caption_table(path, False)
    assert again.look(Path("a.jpg")) is Held.OURS
    again.write(Path("b.jpg"), Caption("", -1.0, 1.0, False, ()))
    assert rows(path)[2] == ["b.jpg", "", "", "", "", "-1.0", "1.0"]
    anew = caption_table(path, True)
    assert len(rows(path)) == 3  # until there is something better
    anew.write(Path("c.jpg"), caption())
    assert [row[0] for row in rows(path)] == ["path", "c.jpg"]


@pytest.mark.parametrize("name", ["a\nb.jpg", 'a"b".jpg', "ä,b.jpg", "=a.jpg", "-a.jpg", "\r.jpg"])
def test_any_name_is_found_again_and_none_is_a_formula(here, name):
    path = here / "captions.csv"
    caption_table(path, False).write(Path(name), caption())
    found = rows(path)[1][0]
    assert Path(found) == Path(name)
    assert not found.startswith(("=", "-", "\r"))
    assert caption_table(path, False).look(Path(name)) is Held.OURS


def test_a_name_that_is_no_text_does_not_spoil_the_table(here):
    path, name = here / "captions.csv", Path(os.fsdecode(b"a\xff.jpg"))
    caption_table(path, False).write(name, caption())
    assert rows(path)[1][0] == "a\\xff.jpg"
    assert caption_table(path, False).look(name) is Held.OURS


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_row_that_was_cut_off_is_taken_away(here, cut):
    path = here / "captions.csv"
    place = caption_table(path, False)
    place.write(Path("a.jpg"), caption())
    whole = path.read_bytes()
    place.write(Path('ä "\n.jpg'), caption())
    path.write_bytes(path.read_bytes()[:-cut])
    after = caption_table(path, False)
    assert after.look(Path('ä "\n.jpg')) is Held.NOTHING
    after.write(Path("b.jpg"), caption())
    assert path.read_bytes().startswith(whole)
    assert [row[0] for row in rows(path)] == ["path", "a.jpg", "b.jpg"]


@pytest.mark.parametrize("content", [b"image,caption\na.jpg,mine\n", b"\xff", HEADER[:-1].encode()])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_table_of_somebody_else_stays(here, content, overwrite):
    path = here / "captions.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match="exists and is not a table of captions of ours"):
        caption_table(path, overwrite)
    assert path.read_bytes() == content


def test_two_that_write_to_a_table_are_kept_apart(here):
    path = here / "captions.csv"
    first, second = caption_table(path, False), caption_table(path, False)
    first.write(Path("a.jpg"), caption())
    with pytest.raises(DataError, match="somebody else writes to it"):
        second.write(Path("b.jpg"), caption())
    assert [row[0] for row in rows(path)] == ["path", "a.jpg"]
    third = caption_table(path, True)
    first.write(Path("b.jpg"), caption())
    with pytest.raises(DataError, match="somebody else writes to it"):
        third.write(Path("c.jpg"), caption())
    assert [row[0] for row in rows(path)] == ["path", "a.jpg", "b.jpg"]


def test_a_full_disk_leaves_whole_rows(here, monkeypatch):
    path = here / "captions.csv"
    place = caption_table(path, False)
    place.write(Path("a.jpg"), caption())
    before = path.read_bytes()
    known = Path.open

    class Full:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def tell(self):
            return self.file.tell()

        def write(self, row):
            self.file.write(row[:5])
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "open", lambda self, mode: Full(known(self, mode)))
    with pytest.raises(DataError, match="No space left on device"):
        place.write(Path("b.jpg"), caption())
    monkeypatch.undo()
    assert path.read_bytes() == before


def test_a_table_without_a_folder_or_that_is_one(here):
    with pytest.raises(DataError, match="cannot be written"):
        caption_table(here / "gone" / "a.csv", False)
    with pytest.raises(DataError, match="cannot be written"):
        caption_table(here, False)


def test_a_photo_has_one_row_wherever_the_command_is_given(here, picture, monkeypatch):
    image = picture("photos/a.jpg")
    path = here / "photos" / "captions.csv"
    (here / "link").symlink_to("photos")
    caption_table(path, False).write(Path("photos/a.jpg"), caption())
    assert rows(path)[1][0] == "a.jpg"
    for same in (image, Path("link/a.jpg"), Path("photos/../photos/a.jpg")):
        assert caption_table(path, False).look(same) is Held.OURS
    monkeypatch.chdir(here / "photos")
    for same in (Path("a.jpg"), Path("../link/a.jpg")):
        assert caption_table(Path("captions.csv"), False).look(same) is Held.OURS


def test_photos_of_the_same_name_have_a_row_each(here, picture, monkeypatch):
    first, second = picture("one/a.jpg"), picture("two/a.jpg")
    path = Path("../tables/captions.csv")
    (here / "tables").mkdir()
    for folder in (first.parent, second.parent):
        monkeypatch.chdir(folder)
        place = caption_table(path, False)
        assert place.look(Path("a.jpg")) is Held.NOTHING
        place.write(Path("a.jpg"), caption())
        assert caption_table(path, False).look(Path("a.jpg")) is Held.OURS
    assert [row[0] for row in rows(path)[1:]] == [str(first), str(second)]


def test_a_row_names_the_photo_itself_behind_a_link(here, picture):
    image = picture("far/away/a.jpg")
    picture("a.jpg")
    (here / "link").symlink_to(image.parent)
    place = caption_table(Path("captions.csv"), False)
    place.write(Path("link/../a.jpg").parent / "away" / "a.jpg", caption())
    assert [row[0] for row in rows(Path("captions.csv"))[1:]] == ["far/away/a.jpg"]
    assert place.look(Path("link/a.jpg")) is Held.OURS


# All together, by the command


def test_one_bad_item_stops_none_and_nothing_is_done_twice(model, picture, tmp_path):
    for name in ("a.jpg", "b.png", "c.gif", "mine.jpg"):
        picture(f"photos/{name}")
    photos = tmp_path / "photos"
    Image.open(photos / "mine.jpg").save(photos / "mine.jpg", xmp=THEIRS)
    table = tmp_path / "all.csv"
    command = ("caption", photos, "-m", model, "--csv", table, "--embed")
    code, out, err = run(*command)
    assert code == 3
    assert "c.gif: nothing can be written into a file of this kind (GIF)" in err
    assert [Path(row[0]).name for row in rows(table)[1:]] == ["a.jpg", "b.png", "mine.jpg"]
    assert len(out.splitlines()) == 3
    code, out, err = run(*command)
    assert (code, out) == (3, "")
    assert "2 images have their caption already: left out\n" in err
    assert "1 images have a description that is not ours: left as they are\n" in err
    code, out, _ = run(*command, "--overwrite")
    assert len(out.splitlines()) == 3
    assert len(rows(table)) == 4
    code, out, err = run(*command[:4], "--xmp-name", "photo.xmp", "--sidecar-suffix", ".txt")
    assert (code, len(out.splitlines())) == (0, 4)
    found = {p.name for p in photos.iterdir() if p.suffix in (".txt", ".xmp")}
    assert found == {"a.txt", "a.xmp", "b.txt", "b.xmp", "c.txt", "c.xmp", "mine.txt"}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("all.txt", ["--sidecar-suffix", ".txt"]),
        ("a.jpg.caption.txt", ["--sidecar"]),
        ("a.jpg.xmp", ["--xmp"]),
        ("a.XMP", ["--xmp-name", "photo.xmp"]),
    ],
)
def test_a_table_is_not_called_like_what_is_written_beside(picture, name, options):
    image = picture("a.jpg")
    code, _, err = run("caption", image, "--csv", image.with_name(name), *options)
    assert (code, "called so, too; choose another name" in err) == (2, True)
    assert list(image.parent.iterdir()) == [image]


def test_a_table_is_no_pipe(picture):
    code, _, err = run("caption", picture("a.jpg"), "--csv", "-")
    assert (code, "pipes take --json" in err) == (2, True)


def test_no_model_is_opened_where_nothing_can_be_written(picture, tmp_path):
    code, out, err = run("caption", picture("a.gif"), "--embed")
    assert (code, out) == (1, "")
    assert "a.gif: nothing can be written" in err


def test_what_is_pending_is_told_by_all_places(picture, tmp_path):
    a, b = picture("a.jpg"), picture("b.jpg")
    embedded().write(a, caption())
    places = [embedded(), plain_sidecars(".txt")]
    assert pending([a, b], places, False).images == (a, b)
    plain_sidecars(".txt").write(a, caption())
    assert pending([a, b], places, False).images == (b,)
    assert pending([a, b], places, True).images == (a, b)
    assert pending([a, b], [], False).images == (a, b)
