"""XML and XHTML bytes to trees, in an order that loses no text.

Named entities become characters first, then strict XML is tried, and only then HTML5, after self-closed tags are
written out (an HTML5 parser would swallow the text after `<title/>`). Entities are never resolved, nothing is fetched.
"""

from __future__ import annotations

import html
import html.entities
import re
from typing import Any

from tutortoietts.book.needs import need
from tutortoietts.core.errors import BookError

__all__ = ["XHTML", "local", "parse_markup", "parse_xml"]

XHTML = "http://www.w3.org/1999/xhtml"
_XML_OWN = frozenset({"amp", "lt", "gt", "quot", "apos"})
_ENTITY = re.compile(r"&([A-Za-z][A-Za-z0-9]*);")
_ENCODING = re.compile(rb"""^\s*<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
_META_CHARSET = re.compile(rb"""<meta[^>]+charset\s*=\s*["']?([A-Za-z0-9._-]+)""", re.IGNORECASE)
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_DOCTYPE = re.compile(r"<!DOCTYPE\s+[^>\[]*(\[.*?\]\s*)?>", re.IGNORECASE | re.DOTALL)
_ENTITY_DECLARED = re.compile(r"<!ENTITY\s", re.IGNORECASE)
_SELF_CLOSED = re.compile(r"<([A-Za-z][A-Za-z0-9:-]*)((?:\s+[^<>]*?)?)\s*/>")
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_VOID = frozenset("area base br col embed hr img input link meta param source track wbr".split())


def decode(data: bytes, name: str) -> str:
    """Return the text of XML or HTML bytes by its byte order mark, its declaration, or UTF-8, or else Windows-1252."""
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    declared = _ENCODING.search(data[:200]) or _META_CHARSET.search(data[:2000])
    for encoding in (declared.group(1).decode("ascii") if declared else "utf-8", "utf-8"):
        try:
            return data.decode(encoding)
        except (LookupError, UnicodeDecodeError):
            continue
    return data.decode("cp1252", "replace")


def parse_xml(data: bytes, name: str, *, named_entities: bool = False) -> Any:
    """Return the root of strict XML (lxml). Raises BookError with line and column; declared entities are refused."""
    etree = need("lxml.etree", "reading EPUB and XML")
    text = _without_doctype(decode(data, name), name)
    if named_entities:
        text, _ = _characters(text)
    try:
        return etree.fromstring(_ILLEGAL.sub("", text).encode("utf-8"), _parser(etree))
    except etree.XMLSyntaxError as error:
        line, column = error.position
        raise BookError(f"{name} is not well-formed XML, line {line}, column {column}: {error.msg}") from error


def parse_markup(data: bytes, name: str) -> tuple[Any, list[str]]:
    """Return (root element, warnings) of XHTML or HTML: strict if it can be, else as a browser would read it.

    Raises BookError for declared entities and for what no parser takes.
    """
    etree = need("lxml.etree", "reading EPUB and HTML")
    text, unknown = _characters(_without_doctype(decode(data, name), name))
    warnings = [f"{name}: unknown entity {entity} is kept as it is written" for entity in unknown]
    text = _ILLEGAL.sub("", text)
    try:
        return etree.fromstring(text.encode("utf-8"), _parser(etree)), warnings
    except etree.XMLSyntaxError:
        warnings.append(f"{name} is not well-formed: read as a browser would")
    return _html5(etree, text, name), warnings


def local(element: Any) -> str:
    """Return an element's name without namespace, in lower case; "" for comments and instructions."""
    tag = element.tag
    return tag.rpartition("}")[2].lower() if isinstance(tag, str) else ""


def _parser(etree: Any) -> Any:
    return etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True, remove_pis=True, remove_comments=False
    )


def _without_doctype(text: str, name: str) -> str:
    """The text without declaration and document type: nothing in them is needed, and entities in them are refused."""
    text = _DECLARATION.sub("", text.lstrip("\ufeff"), count=1)
    if "<!" not in text[:4096]:
        return text
    match = _DOCTYPE.search(text[: 1 << 20])
    if match is None:
        return text
    if _ENTITY_DECLARED.search(match.group(0)):
        raise BookError(f"{name} declares entities of its own, which may be an attack: remove its DOCTYPE")
    kept_lines = "\n" * match.group(0).count("\n")
    return text[: match.start()] + kept_lines + text[match.end() :]


def _characters(text: str) -> tuple[str, list[str]]:
    """Named entities as characters; the unknown ones are escaped so that they stay as text, and listed."""
    unknown: list[str] = []

    def character(match: re.Match[str]) -> str:
        name = match.group(1)
        if name in _XML_OWN:
            return match.group(0)
        found = html.entities.html5.get(name + ";")
        if found is None:
            unknown.append(match.group(0))
            return "&amp;" + match.group(0)[1:]
        return html.escape(found)

    return _ENTITY.sub(character, text), list(dict.fromkeys(unknown))


def _expanded(text: str) -> str:
    """Self-closed tags written out: `<title/>` as `<title></title>`."""

    def expand(match: re.Match[str]) -> str:
        name = match.group(1)
        return match.group(0) if name.lower() in _VOID else f"<{name}{match.group(2)}></{name}>"

    return _SELF_CLOSED.sub(expand, text)


def _html5(etree: Any, text: str, name: str) -> Any:
    """The tree of tag soup, by lexbor, as an lxml tree without namespaces."""
    parser = need("selectolax.lexbor", "reading HTML that is not well-formed")
    try:
        clean = parser.LexborHTMLParser(_expanded(text)).html or ""
    except Exception as error:
        raise BookError(f"{name} cannot be parsed as HTML ({error})") from error
    html_parser = etree.HTMLParser(encoding="utf-8", no_network=True, huge_tree=True)
    root = etree.fromstring(clean.encode("utf-8"), html_parser)
    if root is None:
        raise BookError(f"{name} holds no HTML")
    return root
