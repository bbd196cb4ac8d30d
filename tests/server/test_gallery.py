"""The library over HTTP: pages by date, filters, small copies, exports, and who may have them."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import shutil
import zipfile
from pathlib import Path

import pytest
from PIL import ExifTags, Image
from starlette.testclient import TestClient

from dataset_layouts import tar
from libraries import as_format_2, seeing
from mrnn.images.xmp import read_description
from mrnn.library.library import Library
from mrnn.library.thumbnails import SIDE
from mrnn.server import Access, create_app, service
from mrnn.server.gallery import ABOUT

HERE = "http://localhost"
KEY = "a-key-of-the-tests"
HOSTILE = "<img src=x onerror=alert(1)>.png"
FORMULA = "=cmd|'!A1.png"
PHOTOS = (
    (f"2023/{HOSTILE}", "2023:01:02 03:04:05"),
    ("2024/b.png", "2024:05:31 10:00:00"),
    (f"2024/Rome/{FORMULA}", "2024:05:31 18:00:00"),
    ("2024/Rome/d.png", None),
)
CHANGED = 1_800_000_000  # of the last one's file; 2027


def draw(path: Path, colour: str, taken: str | None = None) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "a camera"
    if taken:
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = taken
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (60, 40), colour).save(path, "PNG", exif=exif)
    os.utime(path, (CHANGED, CHANGED))


@pytest.fixture(scope="module")
def captioner():
    return seeing()


@pytest.fixture
def folder(tmp_path):
    """The home of somebody, with photos in it, of which one lies there twice."""
    photos = tmp_path / "ann" / "photos"
    for (name, taken), colour in zip(PHOTOS, ("red", "green", "blue", "grey"), strict=True):
        draw(photos / name, colour, taken)
    shutil.copy2(photos / "2024/b.png", photos / "2023/copy.png")
    return photos


@pytest.fixture
def client(folder, tmp_path, captioner):
    with Library.open(tmp_path / "library", captioner) as library:
        library.add([folder])
        with TestClient(create_app(captioner, library), HERE) as made:
            yield made


def names(answer) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [picture["name"] for picture in answer.json()["results"]]


def export(client, **fields):
    answer = client.post("/v1/export", json=fields)
    assert answer.status_code == 200, answer.text
    return answer


def table(client, **fields) -> list[dict[str, str]]:
    answer = export(client, **fields)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))


def test_pages_are_newest_first(client, folder):
    answer = client.get("/v1/pictures").json()
    assert answer["pictures"] == 4
    assert [p["name"] for p in answer["results"]] == ["d.png", FORMULA, "copy.png", HOSTILE]
    first, second, third, _ = answer["results"]
    assert first["date"].startswith("2027-01-1")
    assert first["date_of"] == "file"
    assert second["date"] == "2024-05-31T18:00:00"
    assert second["date_of"] == "exif"
    assert second["folder"] == "2024/Rome"
    assert second["image"] == hashlib.sha256((folder / PHOTOS[2][0]).read_bytes()).hexdigest()
    assert third["copies"] == ["b.png"]
    assert names(client.get("/v1/pictures?start=1&k=2")) == [FORMULA, "copy.png"]
    assert names(client.get("/v1/pictures?start=4")) == []
    assert client.get("/v1/pictures?start=4").json()["pictures"] == 4


def test_pages_of_a_filter(client):
    day = "since=2024-05-31&until=2024-05-31"
    assert names(client.get(f"/v1/pictures?{day}")) == [FORMULA, "copy.png"]
    assert names(client.get(f"/v1/pictures?{day}&folder=2024/Rome")) == [FORMULA]
    assert names(client.get("/v1/pictures?folder=2023")) == ["copy.png", HOSTILE]
    assert names(client.get("/v1/pictures?folder=../..")) == []
    assert names(client.get("/v1/pictures?folder=")) == ["d.png", FORMULA, "copy.png", HOSTILE]
    assert names(client.get("/v1/pictures?folder=2024/Rome/")) == ["d.png", FORMULA]
    for wrong in ("since=yesterday", "until=2024-02-30", "k=0", "k=201", "start=-1"):
        answer = client.get(f"/v1/pictures?{wrong}")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("pictures?sicne=2024-05-31", "sicne: no such parameter; there are start, k, after,"),
        ("pictures?k=5&k=6", "k: it is there more than once"),
        ("contents?folder=2024", "folder: no such parameter; there are none here"),
        (f"pictures/{'0' * 64}?sied=9", "sied: no such parameter; there are side"),
        *((f"pictures?since={day}", "as 2024-05-31") for day in (0, 1717113600, "20240101")),
        ("pictures?until=2024-05-31T10:00", "as 2024-05-31"),
    ],
)
def test_wrong_parameters_are_refused(client, wrong, said):
    answer = client.get(f"/v1/{wrong}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert said in answer.json()["detail"]


def test_a_day_in_json_is_no_number(client):
    answer = client.post("/v1/search", json={"query": "a dog", "since": 0})
    assert answer.status_code == 422
    assert "since: " in answer.json()["detail"]
    assert "as 2024-05-31" in answer.json()["detail"]


def test_what_there_is_to_filter_by(client):
    contents = client.get("/v1/contents").json()
    assert contents["pictures"] == 4
    assert contents["dated"] is True
    assert contents["months"] == [
        {"month": "2027-01", "pictures": 1},
        {"month": "2024-05", "pictures": 2},
        {"month": "2023-01", "pictures": 1},
    ]
    told = {of["folder"]: of["pictures"] for of in contents["folders"]}
    assert told == {"2023": 2, "2024": 3, "2024/Rome": 2}


def test_a_search_looks_at_nothing_else_than_its_filter(client):
    fields = {"query": "a dog runs", "folder": "2024/Rome", "since": "2024-01-01"}
    answer = client.post("/v1/search", json=fields)
    assert answer.json()["pictures"] == 2
    assert sorted(names(answer)) == [FORMULA, "d.png"]
    dates = {p["name"]: (p["date_of"], p["folder"]) for p in answer.json()["results"]}
    assert dates == {FORMULA: ("exif", "2024/Rome"), "d.png": ("file", "2024/Rome")}
    assert client.post("/v1/search", data={**fields, "until": "2024-12-31"},
                       files={"x": b""}).status_code == 422  # fmt: skip
    form = client.post("/v1/search", files=[(k, (None, v)) for k, v in fields.items()])
    assert form.json() == answer.json()
    picture = answer.json()["results"][0]["image"]
    like = client.post("/v1/search", json={"picture": picture, "folder": "2023"})
    assert set(names(like)) == {"copy.png", HOSTILE}


def test_no_folder_above_what_was_indexed_is_told(client, tmp_path):
    answers = [
        client.get("/v1/pictures"),
        client.get("/v1/contents"),
        client.post("/v1/search", json={"query": "a dog"}),
        export(client, format="csv"),
        export(client, format="xmp"),
        client.get("/v1/pictures?folder=nowhere"),
    ]
    for answer in answers:
        content = answer.content
        for part in (b"ann", os.fsencode(tmp_path.name)):
            assert part not in content.replace(b"cannot", b"")


def test_a_table_is_what_the_pages_tell_and_no_formula(client):
    rows = table(client)
    pages = client.get("/v1/pictures").json()["results"]
    assert [row["image"] for row in rows] == ["d.png", f"./{FORMULA}", "copy.png", HOSTILE]
    for row, page in zip(rows, pages, strict=True):
        assert {k: row[k] for k in ("folder", "date", "date_of", "caption")} == {
            k: page[k] for k in ("folder", "date", "date_of", "caption")
        }
        assert row["caption"]
    assert [row["copies"] for row in rows] == ["", "", "2024/b.png", ""]
    chosen = [pages[3]["image"], pages[0]["image"], pages[3]["image"], "0" * 64]
    assert [row["image"] for row in table(client, picture=chosen)] == [HOSTILE, "d.png"]
    assert len(table(client, folder="2023", until="2023-12-31")) == 1
    assert [r["image"] for r in table(client, picture=chosen, folder="2023")] == [HOSTILE]
    answer = client.post("/v1/export", json={"picture": []})
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


def test_sidecars_lie_where_the_photos_do(client, folder):
    answer = export(client, format="xmp")
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == 'attachment; filename="captions.zip"'
    pages = {p["name"]: p["caption"] for p in client.get("/v1/pictures").json()["results"]}
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        expected = {f"{path.relative_to(folder)}.xmp" for path in folder.rglob("*.png")}
        assert set(archive.namelist()) == expected  # the copy's, too
        for name in archive.namelist():
            told = read_description(archive.read(name), name)
            photo = Path(name).name.removesuffix(".xmp")
            assert told.text == pages[photo if photo in pages else "copy.png"]


def test_photos_in_a_tar_file_have_its_folders_and_no_sidecars(tmp_path, captioner):
    content = io.BytesIO()
    Image.new("RGB", (9, 9), "teal").save(content, "PNG")
    shard = tar([("2024/./e.png", content.getvalue())])
    (tmp_path / "s.tar").write_bytes(shard)
    with Library.open(tmp_path / "library", captioner) as library:
        library.add([tmp_path / "s.tar"])
        with TestClient(create_app(captioner, library), HERE) as client:
            answer = export(client, format="xmp")
            [row] = table(client)
    assert (row["folder"], row["image"]) == ("s.tar/2024", "e.png")
    assert unpacked(answer) == {
        ABOUT: "s.tar/2024/e.png: left out, it lies in a tar file, where nothing can lie beside it"
    }


def unpacked(answer) -> dict[str, str]:
    """The last line of every file of a zip."""
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        return {n: archive.read(n).decode().splitlines()[-1] for n in archive.namelist()}


def test_the_zip_says_what_it_lacks_and_what_lies_elsewhere(tmp_path, captioner):
    draw(tmp_path / "a/photos/a.png", "red")
    draw(tmp_path / "b/photos/b.png", "blue")
    draw(tmp_path / "a/photos/new\nline.png", "green")
    roots = [tmp_path / "a/photos", tmp_path / "b/photos"]
    with Library.open(tmp_path / "library", captioner) as library:
        library.add(roots)
        with TestClient(create_app(captioner, library), HERE) as client:
            files = unpacked(export(client, format="xmp"))
            assert files.keys() == {"photos/a.png.xmp", "photos (2)/b.png.xmp", ABOUT}
            red = next(p for p in client.get("/v1/pictures").json()["results"]
                       if p["name"] == "a.png")  # fmt: skip
            assert ABOUT not in unpacked(export(client, format="xmp", picture=[red["image"]]))
            other = unpacked(export(client, format="xmp", folder="photos (2)"))
            assert other[ABOUT].startswith("photos (2)/b.png.xmp: to be moved")
            assert unpacked(export(client, format="xmp", folder="photos"))[ABOUT].startswith(
                "photos/new\\nline.png: left out, its name"
            )
    with Library.open(tmp_path / "bare", captioner) as library:
        library.add(roots[1:], captions=False)
        with TestClient(create_app(captioner, library), HERE) as client:
            told = unpacked(export(client, format="xmp"))
    assert told.keys() == {ABOUT}
    assert told[ABOUT].startswith("b.png: left out, it has no caption")


def test_name_folder_and_copies_are_of_one_file(tmp_path, captioner):
    photos = tmp_path / "c"
    draw(photos / "zz/first.png", "red")
    for copy in ("aa/second.png", "third.png"):
        (photos / copy).parent.mkdir(exist_ok=True)
        shutil.copy2(photos / "zz/first.png", photos / copy)
    with Library.open(tmp_path / "library", captioner) as library:
        library.add([photos])
        with TestClient(create_app(captioner, library), HERE) as client:
            of_zz = "/v1/pictures?folder=zz"
            search = {"query": "a dog", "folder": "zz"}
            for answer in (client.get(of_zz), client.post("/v1/search", json=search)):
                [told] = answer.json()["results"]
                assert (told["name"], told["folder"]) == ("first.png", "zz")
                assert sorted(told["copies"]) == ["second.png", "third.png"]
            [row] = table(client, folder="zz")
            assert (row["image"], row["folder"]) == ("first.png", "zz")
            assert row["copies"] == "aa/second.png; third.png"
            assert unpacked(export(client, format="xmp", folder="zz")).keys() == {
                "zz/first.png.xmp"
            }
            (photos / "aa/second.png").unlink()
            [told] = client.post("/v1/search", json={"query": "a dog"}).json()["results"]
            assert (told["name"], told["folder"]) == ("third.png", "")


def test_no_photo_is_lost_or_doubled_where_the_library_changes(client, folder, tmp_path, captioner):
    first = client.get("/v1/pictures?k=2").json()
    assert (first["pictures"], len(first["next"].split(","))) == (4, 2)
    draw(folder / "2024/new.png", "white", "2025:01:01 00:00:00")
    with Library.open(tmp_path / "library", captioner) as writer:
        writer.add([folder])

    def rest() -> list[str]:
        return names(client.get("/v1/pictures", params={"k": 2, "after": first["next"]}))

    assert rest() == ["copy.png", HOSTILE]
    with Library.open(tmp_path / "library", captioner) as writer:
        (folder / PHOTOS[2][0]).unlink()  # that the next page comes behind
        writer.add([folder])
    assert rest() == ["copy.png", HOSTILE]
    last = client.get("/v1/pictures", params={"k": 4}).json()
    assert last["next"] is None
    assert client.get("/v1/pictures?after=nothing").json()["code"] == "invalid"


def test_an_export_says_how_many_pictures_there_still_were(client):
    pages = client.get("/v1/pictures").json()["results"]
    wanted = [pages[0]["image"], "0" * 64]
    assert export(client, picture=wanted).headers["X-Pictures"] == "1"
    assert export(client, format="xmp").headers["X-Pictures"] == "4"


def test_small_copies_are_made_once(client, folder, tmp_path, monkeypatch):
    picture = client.get("/v1/pictures").json()["results"][0]["image"]
    path = f"/v1/pictures/{picture}?side="
    other = client.get(f"{path}300")
    first = client.get(f"{path}{SIDE}")
    kept = list((tmp_path / "library/thumbnails").rglob("*.jpg"))
    assert [place.stem for place in kept] == [picture]
    assert kept[0].read_bytes() == first.content
    with monkeypatch.context() as patch:
        patch.setattr(service, "decode_image", None)
        again = client.get(f"{path}{SIDE}")
        assert again.content == first.content
    assert client.get(f"{path}300").content == other.content
    assert Image.open(io.BytesIO(first.content)).size == (60, 40)


def test_a_small_copy_of_what_the_library_lost_is_not_served(client, folder, tmp_path, captioner):
    picture = client.get("/v1/pictures?start=3").json()["results"][0]["image"]
    path = f"/v1/pictures/{picture}?side={SIDE}"
    content = client.get(path).content
    with Library.open(tmp_path / "library", captioner) as writer:
        writer.remove([folder / "2023"])
    place = tmp_path / "library/thumbnails" / picture[:2] / f"{picture}.jpg"
    assert not place.exists()
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(content)  # of somebody who was late
    assert client.get(path).status_code == 404


def test_a_library_that_cannot_be_written_has_no_small_copies(client, tmp_path):
    (tmp_path / "library/thumbnails").write_text("in the way")
    picture = client.get("/v1/pictures").json()["results"][0]["image"]
    assert client.get(f"/v1/pictures/{picture}?side={SIDE}").status_code == 200


def test_a_library_made_anew_or_moved_away_is_the_same_to_all_routes(client, folder, tmp_path):
    def statuses() -> set[int]:
        search, export = {"query": "a dog"}, {"format": "csv"}
        return {
            client.post("/v1/search", json=search).status_code,
            client.post("/v1/export", json=export).status_code,
            *(client.get(f"/v1/{path}").status_code for path in ("pictures", "contents")),
            client.get("/readyz").status_code,
        }

    library = tmp_path / "library"
    assert statuses() == {200}
    library.rename(tmp_path / "away")
    assert statuses() == {503}
    (tmp_path / "away").rename(library)
    assert statuses() == {200}
    shutil.rmtree(library)
    with Library.open(library, seeing()) as anew:
        anew.add([folder / "2023"])
    assert client.get("/v1/contents").json()["pictures"] == 2
    assert client.post("/v1/search", json={"query": "a dog"}).json()["pictures"] == 2
    assert len(names(client.get("/v1/pictures"))) == 2
    assert statuses() == {200}


def test_a_library_of_before_has_the_dates_of_files(folder, tmp_path, captioner):
    with Library.open(tmp_path / "library", captioner) as library:
        library.add([folder])
    as_format_2(tmp_path / "library/catalogue.sqlite")
    with (
        Library.open(tmp_path / "library", captioner) as library,
        TestClient(create_app(captioner, library), HERE) as client,
    ):
        assert client.get("/v1/contents").json()["dated"] is False
        pictures = client.get("/v1/pictures").json()["results"]
        assert {picture["date_of"] for picture in pictures} == {"file"}


@pytest.mark.parametrize(
    ("method", "path"),
    [("get", "/v1/pictures"), ("get", "/v1/contents"), ("post", "/v1/export")],
)
def test_the_guard_stands_before_all_of_it(folder, tmp_path, captioner, method, path):
    body = {"json": {}} if method == "post" else {}
    with Library.open(tmp_path / "library", captioner) as library:
        library.add([folder])
        app = create_app(captioner, library, access=Access(key=KEY))
        with TestClient(app, HERE) as client:
            ask = getattr(client, method)
            assert ask(path, **body).json()["code"] == "key-needed"
            headers = {"Authorization": f"Bearer {KEY}"}
            assert ask(path, headers=headers, **body).status_code == 200
            for wrong, code in (
                ({"Host": "evil.example"}, "wrong-host"),
                ({"Origin": "https://evil.example"}, "other-origin"),
            ):
                assert ask(path, headers={**headers, **wrong}, **body).json()["code"] == code
    with TestClient(create_app(captioner), HERE) as client:
        assert getattr(client, method)(path, **body).json()["code"] == "no-library"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"json": {"format": "exe"}}, 422),
        ({"json": {"picture": ["../../etc/passwd"]}}, 422),
        ({"json": {"picture": ["0" * 64] * 10_001}}, 422),
        ({"json": {"since": "now"}}, 422),
        ({"json": {"extra": 1}}, 422),
        ({"json": []}, 422),
        ({"content": b"{}", "headers": {"Content-Type": "text/plain"}}, 415),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 422),
    ],
)
def test_exports_that_cannot_be(client, body, status):
    assert client.post("/v1/export", **body).status_code == status
