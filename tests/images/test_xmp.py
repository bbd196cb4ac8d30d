"""Descriptions in XMP: ours is written, and all else in the document stays as it is."""

from __future__ import annotations

import codecs
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrnn.errors import ImageError
from mrnn.images.xmp import Description, read_description, with_description

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC = "http://purl.org/dc/elements/1.1/"
LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
OURS = "{mrnn:ns:1.0/}caption"


def document(inside: str = "", attributes: str = "", after: str = "") -> bytes:
    """An XMP document, with what is inside of its only rdf:Description."""
    return f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><!-- mine -->
 <rdf:RDF xmlns:rdf="{RDF}">
  <rdf:Description rdf:about="" xmlns:dc="{DC}" xmlns:odd="http://odd.example/" odd:kept='"a" > b'
   {attributes}>{inside}</rdf:Description>{after}
 </rdf:RDF>
</x:xmpmeta>

<?xpacket end="w"?>""".encode()


def alternatives(**texts: str) -> str:
    """A dc:description; `default` is x-default, `none` an item without a language."""
    items = "".join(
        f'<rdf:li xml:lang="{"x-default" if language == "default" else language}">{text}</rdf:li>'
        for language, text in texts.items()
    )
    return f"<dc:description><rdf:Alt>{items}</rdf:Alt></dc:description>"


def texts(content: bytes) -> dict[str, str]:
    """What another reader finds as descriptions, by language, in their order."""
    root = ET.fromstring(content.replace(b"\0", b"") if content[1:2] == b"\0" else content)
    found = root.findall(f".//{{{DC}}}description/{{{RDF}}}Alt/{{{RDF}}}li")
    return {item.attrib[LANGUAGE]: item.text or "" for item in found}


def fault(content: bytes, code: str = "xmp") -> str:
    with pytest.raises(ImageError) as caught:
        with_description(content, "a dog runs", "a.xmp")
    assert caught.value.code == code
    assert str(caught.value).startswith("a.xmp: ")
    assert str(caught.value).endswith("; left as it is")
    return str(caught.value)


def test_a_new_document():
    made = with_description(None, "a dog & a <cat>", "a.xmp")
    assert texts(made) == {"x-default": "a dog & a <cat>"}
    assert read_description(made, "a.xmp") == Description("a dog & a <cat>", True)
    assert made.startswith(b'<?xpacket begin="\xef\xbb\xbf"')
    assert made.endswith(b'<?xpacket end="w"?>\n')
    assert with_description(b" \r\n", "a dog & a <cat>", "a.xmp") == made
    assert with_description(made + b"\0\0", "a dog & a <cat>", "a.xmp") == made


@pytest.mark.parametrize(
    "inside", ["", "<odd:x/>", "\n   <odd:x>\n<![CDATA[<dc:description>]]></odd:x>"]
)
@pytest.mark.parametrize(
    "after", ["", "<rdf:Description rdf:about='' odd:y='' xmlns:odd='urn:o'/>"]
)
def test_all_else_stays_to_the_byte(inside, after):
    before = document(inside, after=after)
    made = with_description(before, "a dog runs", "a.xmp")
    at = before.index(b"</rdf:RDF>")
    assert (made[:at], made[at - len(before) :]) == (before[:at], before[at:])
    assert texts(made) == {"x-default": "a dog runs"}


def test_other_languages_stay_and_the_new_one_is_first():
    made = with_description(document(alternatives(de="ein Hund", fr="un chien")), "a dog", "a.xmp")
    assert list(texts(made).items()) == [
        ("x-default", "a dog"),
        ("de", "ein Hund"),
        ("fr", "un chien"),
    ]
    again = with_description(made, "two dogs", "a.xmp")
    assert texts(again) == {"x-default": "two dogs", "de": "ein Hund", "fr": "un chien"}
    assert with_description(again, "a dog", "a.xmp") == made


def test_the_same_again_is_the_same_bytes():
    once = with_description(document(), "a dog runs", "a.xmp")
    assert with_description(once, "a dog runs", "a.xmp") == once


@pytest.mark.parametrize(
    "theirs",
    [
        alternatives(default="my dog"),
        alternatives(de="Hund", default="my dog"),
        '<dc:description><rdf:Alt><rdf:li xml:lang="X-Default">my dog</rdf:li></rdf:Alt>'
        "</dc:description>",
        "<dc:description><rdf:Alt><rdf:li>my dog</rdf:li></rdf:Alt></dc:description>",
        "<dc:description>my dog</dc:description>",
        "<dc:description><rdf:Bag><rdf:li>my dog</rdf:li></rdf:Bag></dc:description>",
        "<dc:description><rdf:Alt><rdf:li xml:lang='x-default'><b>my</b> dog</rdf:li></rdf:Alt>"
        "</dc:description>",
        "<dc:description><rdf:Alt><rdf:li xml:lang='x-default'>my d<![CDATA[og]]></rdf:li>"
        "</rdf:Alt></dc:description>",
    ],
)
def test_a_description_of_somebody_else_stays(theirs):
    content = document(theirs)
    assert read_description(content, "a.xmp") == Description("my dog", False)
    told = fault(content, "described")
    assert "has a description that is not ours, 'my dog'; left as it is" in told


def test_one_in_an_attribute_stays_too():
    assert "'my dog'" in fault(document(attributes='dc:description="my dog"'), "described")


def test_ours_is_theirs_as_soon_as_a_word_is_mended():
    made = with_description(document(), "a dog runs", "a.xmp")
    mended = made.replace(b'x-default">a dog runs', b'x-default">my dog runs')
    assert mended != made
    assert read_description(mended, "a.xmp") == Description("my dog runs", False)
    assert "'my dog runs'" in fault(mended, "described")


@pytest.mark.parametrize(
    "ours",
    [
        f"{alternatives(default='a cat')}<o:caption xmlns:o='mrnn:ns:1.0/'>a cat</o:caption>",
        f"{alternatives(default='a cat')}</rdf:Description><rdf:Description rdf:about=''"
        " xmlns:o='mrnn:ns:1.0/' xmlns:odd='urn:o' odd:a='o:caption=\"\"' o:caption = 'a cat'>",
    ],
)
def test_ours_is_known_again_as_other_programs_write_it(ours):
    content = document(ours)
    assert read_description(content, "a.xmp") == Description("a cat", True)
    made = with_description(content, 'a "dog" & co', "a.xmp")
    assert read_description(made, "a.xmp") == Description('a "dog" & co', True)
    assert texts(made) == {"x-default": 'a "dog" & co'}
    assert b"odd:a='o:caption=\"\"'" in made or b"odd:a" not in content
    assert made.count(b"caption") == content.count(b"caption")


@pytest.mark.parametrize(
    ("inside", "attributes"),
    [
        (alternatives(default=" \n"), ""),
        ("<dc:description><rdf:Alt/></dc:description>", ""),
        ("<dc:description/>", ""),
        ("<dc:description> </dc:description>", ""),
        ("<dc:description><rdf:Alt><rdf:li xml:lang='x-default'/></rdf:Alt></dc:description>", ""),
        ("<dc:description><rdf:Bag><rdf:li/></rdf:Bag></dc:description>", ""),
        ("", "dc:description=''"),
    ],
)
def test_a_blank_one_is_none(inside, attributes):
    content = document(inside, attributes)
    assert read_description(content, "a.xmp") is None
    made = with_description(content, "a dog runs", "a.xmp")
    assert texts(made) == {"x-default": "a dog runs"}
    assert read_description(made, "a.xmp") == Description("a dog runs", True)
    assert made.count(b"description") == 2


def test_rdf_alone_or_empty_or_under_another_prefix():
    for content in (
        f'<rdf:RDF xmlns:rdf="{RDF}"/>',
        f'<r:RDF xmlns:r="{RDF}"><r:Description r:about="uuid:1"/></r:RDF>',
        f'<RDF xmlns="{RDF}" ></RDF>',
        f'<rdf:RDF xmlns:rdf="{RDF}"><rdf:Description about="uuid:1"></rdf:Description></rdf:RDF>',
    ):
        made = with_description(content.encode(), "a dog", "a.xmp")
        assert texts(made) == {"x-default": "a dog"}
        nodes = [node.attrib for node in ET.fromstring(made)]
        about = {node.get(f"{{{RDF}}}about", node.get("about")) for node in nodes}
        assert len(about) == 1  # of the same picture


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "utf-8"])
def test_other_encodings_of_unicode_stay(encoding):
    text = document(alternatives(de="Möwe 🐦")).decode()
    before = ("\ufeff" + text).encode(encoding)
    made = with_description(before, "a gull 🐦", "a.xmp")
    assert made[:8] == before[:8]
    found = texts(made.decode(encoding).removeprefix("\ufeff").encode())
    assert found == {"x-default": "a gull 🐦", "de": "Möwe 🐦"}
    assert read_description(made, "a.xmp") == Description("a gull 🐦", True)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\xff\xd8\xff\xe0", "not well-formed"),
        (b"<a/>", "there is no rdf:RDF in it"),
        (document()[:-60], "unclosed token in line 5"),
        (document().split(b"</rdf:RDF")[0], "no element found"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + document()[56:], "it has a DOCTYPE"),
        (b"<?xml version='1.0' encoding='latin-1'?><a/>", "it is in latin-1; save it as UTF-8"),
        (document("<no:such/>"), "unbound prefix in line 5"),
        (document(alternatives(de="Hund") * 2), "it has two descriptions"),
        (document("<dc:description rdf:resource='urn:a'/>"), "is not a text a language"),
        (document().replace(b"kept", b"k\xff"), "not well-formed (invalid token) in line 4"),
        (codecs.BOM_UTF16_LE + b"\x00\xd8", "not in the encoding with which it begins"),
        (document("<odd:a>" * 200 + "</odd:a>" * 200), "nested too deeply"),
        (b" " * (17 << 20) + b"<", "larger than 16 MB"),
    ],
)
def test_what_cannot_be_used_is_told(content, told):
    assert told in fault(content)


def test_a_text_that_xml_cannot_hold():
    for text in ("a\0", "a\ud800", "a\x1b", "\ufffe"):
        with pytest.raises(ImageError, match="XML cannot hold"):
            with_description(None, text, "a.xmp")


XML_TEXT = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff")
    | st.sampled_from("<>&\"'\r\n\t ]")
)


@given(XML_TEXT, XML_TEXT)
def test_any_text_survives(first, second):
    made = with_description(document(alternatives(de="Hund")), first, "a.xmp")
    assert texts(made) == {"x-default": first, "de": "Hund"}
    if first.strip():
        assert read_description(made, "a.xmp") == Description(first, True)
    again = with_description(made, second, "a.xmp")
    assert texts(again) == {"x-default": second, "de": "Hund"}


PARTS = (
    *(b"<dc:description>", b"</dc:description>", b"<rdf:Alt>", b"</rdf:Alt>", b"<rdf:li/>"),
    *(b"<!--", b"-->", b"<![CDATA[", b"]]>", b"&amp;", b"'", b'"', b"<", b"/>", b"\0", b"\xff"),
    *(b" dc:description=''", b' xmlns:rdf="urn:x"', b"<?xpacket?>", b"<!DOCTYPE x>", b"&a;"),
)


@given(st.data())
def test_a_spoilt_document_is_refused_or_all_else_stays(data):
    content = with_description(document(alternatives(de="Hund")), "a cat", "a.xmp")
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, min(start + 20, len(content))))
        part = data.draw(st.sampled_from(PARTS) | st.binary(max_size=3))
        part = part.replace(b"}", b"")  # in a namespace, the other reader takes it for its end
        content = content[:start] + part + content[end:]
    try:
        made = with_description(content, "a dog", "a.xmp")
    except ImageError:
        return
    assert read_description(made, "a.xmp") == Description("a dog", True)

    def others(text: bytes) -> list[str]:
        kept = ET.fromstring(text.decode().encode())
        return [
            f"{e.tag} {e.attrib} {e.text}"
            for e in kept.iter()
            if e.tag.startswith("{http://odd") or "de" in e.attrib.values()
        ]

    assert others(made) == others(content)
