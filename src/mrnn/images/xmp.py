"""The description in an XMP document: read, and written without touching anything else.

XMP (ISO 16684-1) is RDF in XML. A description is `dc:description`, an `rdf:Alt` of one text a
language, of which `x-default` is the one that programs show. What is written is spliced into the
bytes as they are: other languages, unknown namespaces, order, comments and the packet's wrapper
stay.

A property of our own, `mrnn:caption`, holds the text that was written last. A description is ours
as long as it says the same; as soon as somebody mends a word, it is theirs.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field
from xml.parsers import expat

from ..errors import ImageError

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_DC = "http://purl.org/dc/elements/1.1/"
_OURS = "mrnn:ns:1.0/"
_XML = "http://www.w3.org/XML/1998/namespace"
_DESCRIPTION, _CAPTION = (_DC, "description"), (_OURS, "caption")
_LANGUAGE, _ABOUT, _OLD_ABOUT = (_XML, "lang"), (_RDF, "about"), ("", "about")
_DEFAULT = "x-default"

LARGEST = 16 << 20  # bytes: sidecars with a long history of edits have one or two millions
# In this order: the mark of UTF-32 begins with that of UTF-16.
_ENCODINGS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
_START_TAG = re.compile(rb"""<(?:[^"'>]|"[^"]*"|'[^']*')*>""")
_ATTRIBUTE = re.compile(rb"""\s+([^\s=<>]+)\s*=\s*("[^"]*"|'[^']*')""")
_OF_SUFFIX = re.compile(rb"""photoshop:SidecarForExtension(?:\s*=\s*["']|>)\s*(\w+)""")
_DEEPEST = 100  # elements in elements
# In this order; white space other than blanks would not survive in attributes.
_REFERENCES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"} | {
    character: f"&#{ord(character)};" for character in "\t\n\r"
}
_IMPOSSIBLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # in XML 1.0

_NEW = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
    f' <rdf:RDF xmlns:rdf="{_RDF}">\n'
    " </rdf:RDF>\n"
    "</x:xmpmeta>\n"
    '<?xpacket end="w"?>\n'
).encode()

Name = tuple[str, str]  # a namespace and a name in it


@dataclass(frozen=True)
class Description:
    """What an XMP document says of its picture where no language is asked for."""

    text: str  # empty where ours was taken away by the user
    is_ours: bool


def read_description(document: bytes, name: str) -> Description | None:
    """The description of an XMP document; None where there is none.

    `name` is for messages. Raises ImageError (code xmp) for what is no XMP document, or none that
    could be written to; a blank one is as good as none.
    """
    return None if _is_blank(document) else _Document(document, name).description()


def with_description(document: bytes | None, text: str, name: str) -> bytes:
    """An XMP document with `text` as its description: a new one, or `document` with all it has.

    Only a description of our own is replaced. Raises ImageError: described for another one, xmp
    for what is no XMP document or a text that XML cannot hold.
    """
    if _IMPOSSIBLE.search(text):
        raise ImageError("xmp", f"{name}: the caption has a character that XML cannot hold")
    if document is None or _is_blank(document):
        document = _NEW
    found = _Document(document, name)
    description = found.description()
    if description is not None and not description.is_ours:
        raise ImageError("described", f"{name}: {_not_ours(description.text)}")
    return found.edited(text)


def _is_blank(document: bytes) -> bool:
    return not document.strip(b" \t\r\n")


def is_of_other_file(document: bytes, suffix: str) -> bool:
    """Whether an XMP document says that it belongs to a file with another suffix, as Adobe's do."""
    found = _OF_SUFFIX.search(document)
    return found is not None and found[1].decode().lower() != suffix.lower().removeprefix(".")


def _not_ours(text: str) -> str:
    text = " ".join(text.split())
    shown = text if len(text) <= 60 else f"{text[:57]}..."
    return f"has a description that is not ours, {shown!r}; left as it is"


@dataclass
class _Element:
    """An element that matters, with its place in the document's bytes."""

    name: Name
    tag: str  # its name as written, with the prefix
    attributes: dict[Name, tuple[str, str]]  # the name as written, and the value
    start: int  # of its first tag
    inside: int  # where that tag ends
    end: int = -1  # where its last tag starts; where `inside` is, if the first is the last, too
    text: str = ""  # with that of the elements inside
    children: list[_Element] = field(default_factory=list)


Edit = tuple[int, int, str]  # from, to, what comes there


class _Document:
    """The parts of an XMP document that hold, or shall hold, a description."""

    def __init__(self, document: bytes, name: str) -> None:
        self._name = name
        if len(document) > LARGEST:
            raise self._fault(f"larger than {LARGEST >> 20} MB")
        self._encoding = next((e for mark, e in _ENCODINGS if document.startswith(mark)), None)
        self._source = self._in_utf8(document)
        self._rdf = self._read()
        nodes = self._nodes = self._rdf.children
        self._descriptions = [c for n in nodes for c in n.children if c.name == _DESCRIPTION]
        self._attributes = [n for n in nodes if _DESCRIPTION in n.attributes]
        if len(self._descriptions) + len(self._attributes) > 1:
            raise self._fault("it has two descriptions")
        if any(found.attributes.keys() - {_LANGUAGE} for found in self._descriptions):
            raise self._fault("its dc:description is not a text a language")

    def description(self) -> Description | None:
        """What there is, blank ones left out; an empty one of ours where it was taken away."""
        text, told = self._text(), self._told()
        if text is None or not text.strip():
            return Description("", True) if told else None
        return Description(text, text in told)

    def edited(self, text: str) -> bytes:
        """The document's bytes with this description, in its own encoding."""
        edits: list[Edit] = []
        properties = self._describe(text, edits) + self._mark(text, edits)
        if properties:
            edits.append(self._node(properties))
        source = self._source
        for start, end, content in sorted(edits, reverse=True):
            source = source[:start] + content.encode() + source[end:]
        return source if self._encoding is None else source.decode().encode(self._encoding)

    def _text(self) -> str | None:
        if self._attributes:
            return self._attributes[0].attributes[_DESCRIPTION][1]
        if not self._descriptions:
            return None
        item = self._item()
        if item is not None:
            return item.text
        return None if self._alternatives() else self._descriptions[0].text

    def _alternatives(self) -> _Element | None:
        """The rdf:Alt of the description."""
        found = self._descriptions[0].children
        return found[0] if len(found) == 1 and found[0].name == (_RDF, "Alt") else None

    def _item(self) -> _Element | None:
        """Its text for no language in particular."""
        alternatives = self._alternatives()
        for item in alternatives.children if alternatives else ():
            if item.attributes.get(_LANGUAGE, ("", _DEFAULT))[1].lower() == _DEFAULT:
                return item
        return None

    def _told(self) -> list[str]:
        """What we wrote last, by our own property, as an element or as an attribute."""
        inside = [c.text for n in self._nodes for c in n.children if c.name == _CAPTION]
        beside = [n.attributes[_CAPTION][1] for n in self._nodes if _CAPTION in n.attributes]
        return inside + beside

    def _describe(self, text: str, edits: list[Edit]) -> str:
        """Edits that write a description; what has no place yet is given back."""
        edits += [self._attribute(node, _DESCRIPTION, None) for node in self._attributes]
        if not self._descriptions:
            alternatives = _alternatives(self._rdf, text)
            return f'  <dc:description xmlns:dc="{_DC}">{alternatives}</dc:description>\n'
        old, there = self._alternatives(), self._item()
        if there is not None:
            edits.append(self._filled(there, _escaped(text)))
        elif old is not None and old.children:
            first = old.children[0].start
            edits.append((first, first, _item(old, text)))
        elif old is not None:
            edits.append(self._filled(old, _item(old, text)))
        else:  # blank, and no rdf:Alt
            blank = self._descriptions[0]
            edits.append(self._filled(blank, _alternatives(blank, text)))
        return ""

    def _mark(self, text: str, edits: list[Edit]) -> str:
        """The same for our own property."""
        before = len(edits)
        for node in self._nodes:
            if _CAPTION in node.attributes:
                edits.append(self._attribute(node, _CAPTION, text))
            marks = [child for child in node.children if child.name == _CAPTION]
            edits += [self._filled(mark, _escaped(text)) for mark in marks]
        if len(edits) > before:
            return ""
        return f'  <mrnn:caption xmlns:mrnn="{_OURS}">{_escaped(text)}</mrnn:caption>\n'

    def _node(self, properties: str) -> Edit:
        """Properties of the picture, after all others."""
        first = self._nodes[0].attributes if self._nodes else {}
        _, about = first.get(_ABOUT) or first.get(_OLD_ABOUT) or ("", "")
        node = (
            f' <rdf:Description{_declared(self._rdf)} rdf:about="{_escaped(about)}">\n'
            f"{properties}  </rdf:Description>\n "
        )
        if self._rdf.inside < self._rdf.end:
            return self._rdf.end, self._rdf.end, node
        return self._filled(self._rdf, node)

    def _filled(self, element: _Element, content: str) -> Edit:
        """An edit that puts something in the place of all that is inside an element."""
        if element.end >= 0:
            return element.inside, element.end, content
        return element.inside - 2, element.inside, f">{content}</{element.tag}>"  # after />

    def _attribute(self, element: _Element, name: Name, value: str | None) -> Edit:
        """An edit that gives an attribute another value, or takes it away."""
        written = element.attributes[name][0].encode()
        all_of_them = _ATTRIBUTE.finditer(self._source, element.start, element.inside)
        [found] = [attribute for attribute in all_of_them if attribute[1] == written]
        if value is None:
            return *found.span(), ""
        return *found.span(2), f'"{_escaped(value)}"'

    def _in_utf8(self, document: bytes) -> bytes:
        if self._encoding is None:
            return document.rstrip(b"\0")  # some programs end a packet with one
        try:
            return document.decode(self._encoding).encode()
        except UnicodeError:
            raise self._fault("it is not in the encoding with which it begins") from None

    def _read(self) -> _Element:
        """The rdf:RDF element, with what matters inside."""
        parser = expat.ParserCreate("utf-8")
        reader = _Reader(parser, self._source)
        try:
            parser.Parse(self._source, True)
            # It has seen names as written; whether they are good ones is told by another.
            expat.ParserCreate("utf-8", " ").Parse(self._source, True)
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code)
            raise self._fault(f"{reason} in line {error.lineno}") from None
        except _RefusedError as error:
            raise self._fault(str(error)) from None
        if reader.rdf is None:
            raise self._fault("there is no rdf:RDF in it")
        return reader.rdf

    def _fault(self, what: str) -> ImageError:
        return ImageError("xmp", f"{self._name}: cannot be used as XMP: {what}; left as it is")


class _RefusedError(Exception):
    """What a parser of XML takes and we do not."""


class _Reader:
    """Gathers the elements that matter while expat parses."""

    def __init__(self, parser: expat.XMLParserType, source: bytes) -> None:
        self.rdf: _Element | None = None
        self._parser, self._source = parser, source
        self._level = 0  # elements around rdf:RDF
        self._scopes: list[dict[str, str]] = [{"xml": _XML, "": ""}]  # namespaces by prefix
        self._open: list[_Element | None] = []  # None: of no interest
        parser.buffer_text = True
        parser.XmlDeclHandler = self._declaration
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters

    def _declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        usual = ("UTF-8", "UTF-16", "UTF-16LE", "UTF-16BE", "UTF-32", "UTF-32LE", "UTF-32BE")
        if (encoding or "UTF-8").upper() not in usual:
            raise _RefusedError(f"it is in {encoding}; save it as UTF-8")

    def _doctype(self, *_: object) -> None:
        raise _RefusedError("it has a DOCTYPE, which XMP never has; take it out")

    def _start(self, tag: str, written: dict[str, str]) -> None:
        scope = self._scopes[-1]
        declared = {
            key[6:]: value
            for key, value in written.items()
            if key == "xmlns" or key.startswith("xmlns:")
        }
        self._scopes.append(scope := {**scope, **declared} if declared else scope)
        if len(self._scopes) > _DEEPEST:
            raise _RefusedError("its elements are nested too deeply")
        name = self._name(tag, scope)
        parent = self._open[-1] if self._open else None
        is_rdf = self.rdf is None and len(self._open) <= 1 and name == (_RDF, "RDF")
        in_node = parent is not None and len(self._open) == self._level + 2
        if not is_rdf and (parent is None or (in_node and name not in (_DESCRIPTION, _CAPTION))):
            self._open.append(None)
            return
        start = self._parser.CurrentByteIndex
        [inside] = [found.end() for found in [_START_TAG.match(self._source, start)] if found]
        attributes = {
            self._name(key, scope, ""): (key, value)
            for key, value in written.items()
            if not key.startswith("xmlns")
        }
        element = _Element(name, tag, attributes, start, inside)
        if is_rdf:
            self.rdf, self._level = element, len(self._open)
        elif parent is not None:
            parent.children.append(element)
        self._open.append(element)

    def _end(self, _: str) -> None:
        self._scopes.pop()
        element = self._open.pop()
        if element is None:
            return
        if self._source[element.inside - 2 : element.inside] != b"/>":
            element.end = self._parser.CurrentByteIndex
        depth = len(self._open) - self._level
        parent = self._open[-1] if self._open else None
        if parent is None:
            return
        if depth > 2:
            parent.text += element.text
        elif depth == 1 and len(parent.children) > 1 and not _matters(element):
            parent.children.pop()  # there may be very many

    def _characters(self, text: str) -> None:
        element = self._open[-1] if self._open else None
        if element is not None and len(self._open) - self._level > 2:
            element.text += text

    def _name(self, written: str, scope: dict[str, str], default: str | None = None) -> Name:
        """The namespace and the name of an element, or of an attribute with `default` ''."""
        prefix, colon, local = written.rpartition(":")
        if not colon and default is not None:
            return default, local
        return scope.get(prefix, ""), local


def _alternatives(parent: _Element, text: str) -> str:
    declared = _declared(parent)
    return f"<rdf:Alt{declared}>{_item(parent, text, bool(declared))}</rdf:Alt>"


def _item(parent: _Element, text: str, is_declared: bool = False) -> str:
    declared = "" if is_declared else _declared(parent)
    return f'<rdf:li{declared} xml:lang="{_DEFAULT}">{_escaped(text)}</rdf:li>'


def _declared(parent: _Element) -> str:
    """What makes the prefix rdf known inside an element."""
    is_known = parent.name[0] == _RDF and parent.tag.startswith("rdf:")
    return "" if is_known else f' xmlns:rdf="{_RDF}"'


def _matters(node: _Element) -> bool:
    return bool(node.children) or not {_DESCRIPTION, _CAPTION}.isdisjoint(node.attributes)


def _escaped(text: str) -> str:
    for character, reference in _REFERENCES.items():
        text = text.replace(character, reference)
    return text
