"""Written text to plain text: no mark-up, no odd characters, and a mark for the pause at the end of a line.

Three steps on `Traced` text, none of which knows a language: `plain_characters`, `plain_markup`, `plain_lines`.
"""

from __future__ import annotations

import html
import re
import unicodedata

from tutortoietts.text.traced import Traced

__all__ = ["MARK", "plain", "plain_characters", "plain_lines", "plain_links", "plain_markup"]

MARK = "\ue000"  # stands in a text where a hidden passage begins or ends; the character itself is never kept

_MOJIBAKE = re.compile("(?:[ÂÃâð][\u0080-\u00bfŒœŠšŽžŸƒˆ˜–—‘’‚“”„†‡•…‰‹›€™]{1,3})+")
_THOUSANDS = re.compile("(?<=[0-9])[\u00a0\u2009\u202f](?=[0-9]{3}(?![0-9]))")
_ODD = re.compile("\r\n?|[^\n\x20-\x7e]")
_QUOTES = {**dict.fromkeys("‘’‚‛′ʼ´", "'"), **dict.fromkeys("“”„‟«»″「」『』〝〞〟", '"'), "‹": "'", "›": "'"}
_CHARACTERS = {
    **_QUOTES,
    **dict.fromkeys("\x85\u2028\u2029\x0b\x0c", "\n"),
    **dict.fromkeys("‐‑", "-"),
    **dict.fromkeys("‒–", "–"),
    **dict.fromkeys("—―⸺", "—"),
    **dict.fromkeys("×✕✖", "×"),
    "\t": " ",
    "\r": "\n",
    "\r\n": "\n",
    "…": "...",
    "℃": "°C",
    "℉": "°F",
    "№": "No.",
    "₋": "-",
    "™": " ",
    "℠": " ",
    "º": "°",
    "µ": "μ",
    "∕": "/",
    "⁄": "/",
    "。": ". ",
    "、": ", ",
    "·": " · ",
    MARK: MARK,
}
_KEPT = "L", "M"
_SAFE_FORMS = "<wide>", "<narrow>", "<font>", "<circle>", "<square>", "<sub>", "<compat>", "<super>", "<fraction>"


def plain(text: Traced, *, line_stop: str = ".", keep: str = "") -> Traced:
    """Return the text in plain characters without mark-up; `line_stop` ends a line that ends without a mark.

    `keep`: characters that are left as they are.
    """
    return plain_lines(plain_markup(plain_characters(text, keep)), line_stop)


def plain_characters(text: Traced, keep: str = "") -> Traced:
    """Return the text with quotes and dashes of one kind each, no invisible characters, 1⁄2 for ½, 5 for ５.

    `keep`: characters that are left as they are.
    """
    if text.text.isascii() and not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text.text):
        return text
    text = text.sub(_MOJIBAKE, _repaired).sub(_THOUSANDS, "")
    return text.sub(_ODD, lambda match: None if match[0] in keep else _character(match))


def _repaired(match: re.Match[str]) -> str | None:
    """Undo what becomes of UTF-8 that was read as Windows-1252, such as "â€™" for an apostrophe."""
    data = bytearray()
    for char in match[0]:
        try:
            data += char.encode("cp1252")
        except UnicodeEncodeError:
            data += char.encode("latin-1", errors="ignore")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _character(match: re.Match[str]) -> str | None:
    char = match[0]
    known = _CHARACTERS.get(char)
    if known is not None:
        return known
    category = unicodedata.category(char)
    if category in ("Cc", "Cf", "Cs", "Co", "Cn") or "\ufe00" <= char <= "\ufe0f":
        return ""
    if category == "Zs":
        return " "
    if category == "Nd":
        return str(unicodedata.digit(char))
    form = unicodedata.decomposition(char)
    if not form.startswith(_SAFE_FORMS) or "a" <= char <= "\u02ff":
        return _spaced_fraction(match) if char in "¼½¾" else _superscript(match, form)
    if form.startswith("<fraction>"):
        return _spaced_fraction(match)
    if form.startswith("<super>"):
        return _superscript(match, form)
    return unicodedata.normalize("NFKC", char)


def _spaced_fraction(match: re.Match[str]) -> str:
    before, after = match.string[match.start() - 1 : match.start()], match.string[match.end() : match.end() + 1]
    fraction = unicodedata.normalize("NFKC", match[0]).replace("\u2044", "/")
    return f"{' ' if before.isalnum() else ''}{fraction}{' ' if after.isalnum() else ''}"


def _superscript(match: re.Match[str], form: str) -> str | None:
    """Keep "²" for the units; turn all others into digits after one "^"."""
    before = match.string[match.start() - 1 : match.start()]
    raised = bool(before) and unicodedata.decomposition(before).startswith("<super>")
    if not form.startswith("<super>") or (match[0] in "²³" and not raised):
        return None
    plain_char = unicodedata.normalize("NFKC", match[0]).replace("−", "-")
    if not plain_char.isascii() or not (plain_char.isdigit() or plain_char in "+-−"):
        return plain_char
    return plain_char if raised else f"^{plain_char}"


# --- HTML and Markdown ---

_LINK = re.compile(
    r"!?\[([^\[\]\n]{0,300})\]\((?:https?:|mailto:|www\.|[/#.]|[\w-]{1,60}[./])[^()\s]{0,500}(?: \"[^\"\n]{0,200}\")?\)"
)
_REFERENCE_LINK = re.compile(r"(?m)^ {0,3}\[[^\[\]\n]{1,100}\]: +\S{1,500}.{0,200}$")
_HIDDEN_HTML = re.compile(r"(?is)<!--.{0,2000}?-->|<(script|style)\b[^<>]{0,2000}>.{0,5000}?</\1\s{0,9}>")
_ENTITY = re.compile(r"&(?:amp;){0,3}(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_ATTRIBUTES = (
    r"(?:\s{1,20}[\w:.-]{1,60}\s{0,5}=\s{0,5}(?:\"[^\"<>]{0,2000}\"|'[^'<>]{0,2000}'|[^\s\"'<>=]{1,500})){1,40}"
)
_NAMES = (
    "a|abbr|address|article|aside|audio|b|big|blockquote|body|br|break|button|caption|center|cite|code|dd|del|div|dl|dt|"
    "em|emphasis|figcaption|figure|font|footer|form|h[1-6]|head|header|hr|html|i|img|input|ins|kbd|label|li|link|main|mark|"
    "meta|nav|ol|p|phoneme|pre|prosody|q|s|samp|say-as|section|small|span|speak|strike|strong|style|sub|sup|table|tbody|"
    "td|tfoot|th|thead|time|title|tr|tt|u|ul|var|video|voice"
)
_TAG = re.compile(
    rf"(?i)<(?:/\s{{0,5}}(?P<end>[a-z][\w:-]{{0,40}})\s{{0,5}}"
    rf"|(?P<name>[a-z][\w:-]{{0,40}}){_ATTRIBUTES}\s{{0,5}}/?"
    rf"|(?P<bare>{_NAMES})\s{{0,5}}/?|[a-z][\w:-]{{0,40}}\s{{0,5}}/)>|<!doctype[^<>]{{0,500}}>"
)
_BLOCK = frozenset(
    "address article aside blockquote body br caption center dd div dl dt figure footer form h1 h2 h3 h4 h5 h6 header "
    "hr li main nav ol p pre section table td th tr ul title".split()
)
_FENCE = re.compile(r"(?m)^ {0,3}(?:```|~~~)[\w+-]{0,30} *$")
_RULE = re.compile(
    r"(?m)^[ \t]*(?=[-=*_~#+.•·—–|:])(?:(?:[-=*_~#+.•·—–][ \t]*){3,}"
    r"|(?:\|[ \t]*)?:?-{2,}:?(?:[ \t]*\|[ \t]*:?-{2,}:?){1,50}[ \t]*\|?[ \t]*|\|[ \t]*:?-{2,}:?[ \t]*\|[ \t]*)$"
)
_HEADING = re.compile(r"(?m)^ {0,3}#{1,6}[ \t]+(?=\S)|(?<![ \t])[ \t]+#{1,6}[ \t]{0,20}$")
_QUOTED_LINE = re.compile(r"(?m)^[ \t]*(?:>[ \t]?){1,20}")
_EMPHASIS = re.compile(
    r"(?<![\w*\\])(\*{1,3})(?=[^\s*])(?:[^*\n]|\n(?!\n)){1,500}?(?<=[^\s*])\1(?![\w*])"
    r"|(?<![\w_\\])(_{1,3})(?=[^\s_])(?:[^_\n]|(?<=\w)_(?=\w)|\n(?!\n)){1,500}?(?<=[^\s_])\2(?![\w_])"
    r"|(?<!~)(~~)(?=\S)[^~\n]{1,500}?(?<=\S)\3(?!~)"
)
_CODE = re.compile(r"(`{1,2})(?=[^`\s])([^`\n]{1,300})(?<=[^`\s])\1")
_ESCAPE = re.compile(r"\\(?=[*_`#\[\]()!|>~-])")
_CELL = re.compile(r"(?m)^[ \t]*\|[ \t]*|(?<![ \t])[ \t]*\|[ \t]*$")
_NOTE_MARK = re.compile(r"(?<=[\w.,;:!?\"')])\[\^?(?:[0-9]{1,3}|[a-z]|citation needed|note [0-9]{1,3})\]")


def plain_links(text: Traced) -> Traced:
    """Return the text with what Markdown puts into brackets taken out of them: links, images, note marks."""
    if "[" not in text.text:
        return text
    text = text.sub(_REFERENCE_LINK, "")
    edits = []
    for match in _LINK.finditer(text.text):
        edits += [(match.start(), match.start(1), ""), (match.end(1), match.end(), "")]
    return text.rewrite(edits).sub(_NOTE_MARK, "")


def plain_markup(text: Traced) -> Traced:
    """Return the text without HTML or SSML tags and entities and without Markdown's marks."""
    found = text.text
    if "<" in found:
        text = text.sub(_HIDDEN_HTML, " ").sub(_TAG, _tag)
    if "&" in found:
        text = text.sub(_ENTITY, _entity)
        text = plain_characters(text)
    text = text.sub_all(((_FENCE, ""), (_RULE, "\n"), (_QUOTED_LINE, ""), (_HEADING, "\n")))
    if "|" in found:
        text = text.sub(_CELL, "")
    if any(mark in found for mark in "*_~"):
        text = _without_emphasis(_without_emphasis(text))
    if "`" in found:
        text = text.sub(_CODE, lambda match: match[2])
    return text.sub(_ESCAPE, "")


def _without_emphasis(text: Traced) -> Traced:
    edits = []
    for match in _EMPHASIS.finditer(text.text):
        size = len(match[1] or match[2] or match[3])
        edits += [(match.start(), match.start() + size, ""), (match.end() - size, match.end(), "")]
    return text.rewrite(edits)


def _tag(match: re.Match[str]) -> str:
    name = (match["end"] or match["name"] or match["bare"] or "").lower()
    if name in _BLOCK:
        return "\n"
    if name in ("break", "img", "input"):
        return " "
    before, after = match.string[match.start() - 1 : match.start()], match.string[match.end() : match.end() + 1]
    return " " if name in ("sup", "sub") and before.isalnum() and after.isalnum() else ""


def _entity(match: re.Match[str]) -> str | None:
    char = match[0]
    for _ in range(4):
        char = html.unescape(char)
    return None if char == match[0] or len(char) > 2 else char


# --- lines ---

_BULLET = re.compile(r"[ \t]*(?:[-*+•▪◦‣●○■–—]|\[[ xX]\])[ \t]+(?:\[[ xX]\][ \t]+)?(?=\S)")
_NUMBERED = re.compile(r"[ \t]*\(?(?:[0-9]{1,3}|[a-zA-Z])(?:[.)])[ \t]+(?=\S)")
_ENDED = re.compile(rf"[.,;:!?—–-][\"')\]{MARK}\s]*$")
_WRAPPED = 45  # characters of a line that is likely to go on in the next one


def plain_lines(text: Traced, stop: str = ".") -> Traced:
    """Return the text on one line: headings, items and paragraphs end with a mark, wrapped lines are joined."""
    lines = _line_spans(text.text)
    edits = []
    for number, (start, end) in enumerate(lines):
        line = text.text[start:end]
        bullet = _BULLET.match(line)
        if bullet:
            edits.append((start, start + bullet.end(), ""))
        if number + 1 == len(lines):
            break
        following = lines[number + 1]
        after = text.text[slice(*following)]
        gap = text.text[end : following[0]]
        edits.append((end, following[0], _joint(line, after, gap.count("\n") > 1, stop)))
    return text.rewrite(edit for edit in edits if edit[0] < edit[1])


def _line_spans(text: str) -> list[tuple[int, int]]:
    """Return the lines with something on them, stripped at their ends."""
    spans = []
    for match in re.finditer(r"[^\n]+", text):
        line = match[0]
        if not line.isspace():
            spans.append((match.start() + len(line) - len(line.lstrip()), match.start() + len(line.rstrip())))
    return spans


def _joint(line: str, after: str, blank: bool, stop: str) -> str:
    """Return what joins two lines."""
    item, next_item = _is_item(line), _is_item(after)
    if _ENDED.search(line[-20:]):
        return " "
    if blank:
        return f"{stop} "
    if item and next_item:
        return ", " if len(line) < _WRAPPED else f"{stop} "
    letter = next((char for char in after if char.isalnum()), "")
    if not next_item and not item and (letter.islower() or len(line) >= _WRAPPED):
        return " "
    if item and not next_item and letter.islower():
        return " "
    return f"{stop} "


def _is_item(line: str) -> bool:
    return bool(_BULLET.match(line) or _NUMBERED.match(line))
