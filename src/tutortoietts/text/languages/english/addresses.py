"""URLs, e-mail addresses, paths, file names, versions, telephone and other numbers read digit by digit."""

from __future__ import annotations

import re
import unicodedata

from tutortoietts.text.languages import Reading, Rule
from tutortoietts.text.languages.english.words import LEFT, Numbers, spelled, table

__all__ = ["rules", "word_parts"]

_TLD = (
    "com|org|net|edu|gov|mil|int|info|biz|name|app|dev|io|ai|co|me|tv|eu|uk|us|ca|au|nz|de|fr|es|it|nl|be|ch|at|se|no|dk|fi|pl|"
    "cz|pt|gr|ie|ru|ua|cn|jp|kr|in|br|mx|za|xyz|ly|fm|gg|to|sh|online|site|shop|store|blog|news|tech|cloud|pro|club"
)
_STOP = "\\s<>\"'“”{}|\\\\^`\\[\\]\ue000"
_URL = re.compile(rf"(?<![\w@.])(?:(?:https?|ftp)://|www\.)[^{_STOP}]{{1,2000}}", re.IGNORECASE)
_DOMAIN = re.compile(
    rf"(?<![\w@./-])(?:[A-Za-z0-9](?:[\w-]{{0,62}}[A-Za-z0-9])?\.){{1,5}}(?:{_TLD})(?![\w-]|\.\w)(?::[0-9]{{2,5}})?(?:/[^{_STOP}]{{0,500}})?"
)
_LOCALHOST = re.compile(rf"(?<![\w.])localhost:[0-9]{{2,5}}(?![0-9])(?:/[^{_STOP}]{{0,500}})?")
_MAIL = re.compile(
    r"(?<![\w.+-])(?:mailto:)?(?P<user>[\w.+-]{1,64})@(?P<host>[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,5})(?![\w@])",
    re.IGNORECASE,
)
_HANDLE = re.compile(r"(?<![\w@.])@(?P<name>[A-Za-z_]\w{0,60})")
_HASHTAG = re.compile(r"(?<![\w&#/])#(?P<name>[A-Za-z_]\w{0,100})")
_WINDOWS = re.compile(r"(?<!\w)[A-Za-z]:\\[^\s<>\"'|?*\ue000]{0,400}")
_PATH = re.compile(
    r"(?<![\w/.])(?:~|\.{1,2})?/(?:[\w.+-]{1,100}/){1,20}[\w.+-]{0,100}|(?<![\w/.])(?:~|\.{1,2})/[\w.+-]{1,100}|(?<![\w/.])/[a-z][\w-]{1,100}\.[a-z0-9]{1,5}\b"
)
_EXTENSIONS = (
    "txt|pdf|docx?|xlsx?|pptx?|csv|json|xml|html?|css|js|ts|py|rb|rs|go|java|cpp|hpp|sh|bat|exe|dll|zip|tar|gz|rar|7z|png|jpe?g|gif|"
    "svg|bmp|webp|mp3|mp4|m4a|m4b|wav|flac|ogg|opus|avi|mkv|mov|epub|mobi|md|rst|ini|cfg|toml|ya?ml|log|sql|db|iso|apk|dmg|tex|bak|tmp"
)
_FILE = re.compile(
    rf"(?<![\w./\\-])(?P<stem>[\w-]{{1,100}}(?:\.[\w-]{{1,60}}){{0,3}})\.(?P<ending>{_EXTENSIONS})(?![\w])(?!\.\w)"
)
_RELATIVE = re.compile(
    rf"(?<![\w/.\\-])[\w-]{{1,100}}(?:/[\w-]{{1,100}}){{1,20}}(?:\.[\w-]{{1,60}}){{0,3}}\.(?:{_EXTENSIONS})(?!\w)"
)
_BARE_ENDING = re.compile(
    rf"(?<![\w.])\.(?P<ending>{_EXTENSIONS}|env|net|git[\w-]{{0,20}}|bashrc|zshrc|vimrc|npmrc)(?:\.[a-z]{{1,4}})?\b",
    re.IGNORECASE,
)
_IDENTIFIER = re.compile(r"(?<![\w.])_{0,2}[A-Za-z][A-Za-z0-9]{0,60}(?:_{1,3}[A-Za-z0-9]{1,60}){1,20}_{0,2}(?!\w)")

_VERSION = re.compile(
    rf"{LEFT}(?P<v>[vV](?:ersion|er)?\.?\s?)(?P<number>[0-9]{{1,9}}(?:\.[0-9]{{1,9}}){{0,5}})(?P<tail>-?(?:alpha|beta|rc|dev|a|b)\.?[0-9]{{0,3}})?(?!\w)"
    rf"|{LEFT}(?P<bare>[0-9]{{1,9}}(?:\.[0-9]{{1,9}}){{2,6}})(?P<tail2>-?(?:alpha|beta|rc|dev|a|b)\.?[0-9]{{0,3}})?(?P<port>[:/][0-9]{{1,5}})?(?![\w])(?!\.[0-9])"
)
_NAMED_VERSION = re.compile(
    r"\b(?P<name>[Vv]ersions?|[Rr]elease|Python|Java|Android|iOS|macOS|Windows|Ubuntu|Debian|PHP|HTML|HTTP|Bluetooth|USB|Firmware|firmware|Node|CUDA|"
    r"[Ss]ection|[Cc]hapter|[Ff]igure|[Tt]able|Fig\.|Sec\.|§)\s?(?P<number>[0-9]{1,4}(?:\.[0-9]{1,4}){1,4})(?![\w])(?!\.[0-9])"
)

_G = r"[0-9]"
_PHONE = re.compile(
    rf"(?<![\w.,$£€-])(?:(?P<country>\+?1|001)[-. ]?)?(?:\((?P<area>{_G}{{3}})\)[-. ]?|(?P<area2>{_G}{{3}})[-. ])"
    rf"(?P<a>{_G}{{3}})[-. ]"
    rf"(?P<b>{_G}{{4}})(?![\w-])(?:,?\s?(?:x|ext\.?|extension)\s?(?P<ext>[0-9]{{1,6}}))?"
)
_LOCAL = re.compile(rf"(?<![\w.,$£€/-])(?P<a>{_G}{{3}})-(?P<b>{_G}{{4}})(?![\w-])")
_ABROAD = re.compile(
    r"(?<![\w.])(?:\+|00)(?P<number>[1-9][0-9]{0,2}(?:[ .-]?\(?[0-9]{1,8}\)?(?![\w])){1,7}|[0-9]{7,15})(?!\w)"
)
_TRUNK = re.compile(r"(?<![\w.,$£€/-])\(?0[0-9]{1,5}\)?(?:[ -][0-9]{2,8}){1,5}(?![\w.,][0-9]|\w)")
_VANITY = re.compile(
    r"(?<![\w.,-])1-(?P<area>8[0-9]{2})-(?=[0-9-]{0,8}[A-Z])(?P<word>[A-Z0-9]{2,8}(?:-[A-Z0-9]{1,8}){0,3})(?!\w)"
)
_GROUPS = re.compile(
    r"(?<![\w.,$£€/-])[0-9]{1,7}(?:-[0-9]{1,7}){2,6}(?:-[0-9X])?(?![\w-])|(?<![\w.,])[0-9]{4}(?: [0-9]{4}){3}(?![\w])"
)
_EMERGENCY = re.compile(
    r"(?<=\b[Cc]all )(?P<a>[0-9]{3})\b(?!\s[a-z]{3,}s\b)|(?<=\b[Dd]ial )(?P<b>[0-9]{2,7})\b"
    r"|(?<=\b[Cc]ode )(?P<c>[0-9]{3,8})\b(?![.,][0-9])|(?<=\bcode is )(?P<f>[0-9]{3,8})\b(?![.,][0-9])"
    r"|(?<=\bPIN )(?P<d>[0-9]{3,8})\b|(?<=\bPIN is )(?P<e>[0-9]{3,8})\b"
    r"|(?<=\b[A-Z]{2} )(?P<g>[0-9]{5}(?:-[0-9]{4})?)\b|(?<=\b[Pp]assword )(?P<l>[0-9]{3,12})\b"
    r"|(?<=\b[Ee]xtension )(?P<h>[0-9]{1,6})\b|(?<=\bZIP )[0-9]{5}\b|(?<=\b(?:ZIP|zip) code )(?P<i>[0-9]{5})\b"
    r"|(?<=\bID: )[0-9]{2,9}(?: [0-9]{2,5}){0,4}\b|(?<=code: )[0-9]{2,9}\b"
    r"|\b911\b(?=\s(?:call|operator|dispatch))"
)
_PLACE = re.compile(
    r"\b(?P<name>[Rr]oom|[Ff]light|[Rr]oute|[Hh]ighway|[Aa]partment|[Ss]uite|[Bb]us|[Ii]nterstate|Boeing|Airbus|Apt\.?|Rm\.?)\s#?(?P<number>[0-9]{3,4})(?![\w%]|[.,][0-9]|-[0-9])"
)
_HOUSE = re.compile(
    r"(?<![\w.,$£€#])(?P<number>[0-9]{3,4})(?P<letter>[A-Z])?(?=\s(?:[NSEW]\.?\s|North\s|South\s|East\s|West\s)?(?:[A-Z][\w'.-]{1,20}\s|[0-9]{1,3}(?:st|nd|rd|th)\s){1,3}"
    r"(?:St|Street|Ave|Avenue|Rd|Road|Blvd|Boulevard|Lane|Ln|Drive|Dr|Way|Place|Pl|Court|Ct|Square|Sq)\b)"
)

_MARKS = {
    ".": "dot",
    "/": "slash",
    "-": "dash",
    "_": "underscore",
    ":": "colon",
    "?": "question mark",
    "=": "equals",
    "&": "and",
    "#": "hash",
    "@": "at",
    "%": "percent",
    "+": "plus",
    "~": "tilde",
    "\\": "backslash",
    ",": "comma",
    ";": "semicolon",
    "!": "exclamation mark",
    "*": "star",
    "$": "dollar",
    "(": "",
    ")": "",
}
_PIECE = re.compile(r"[0-9]+|[^\W\d_]+|[^\s]")
_WORDS = frozenset(
    "com org net gov info biz name app dev online site shop store blog news tech cloud pro club mobi zip log bat tar "
    "java tex doc docs ham cam git bin home lib".split()
)
_SPOKEN = {
    "mp3": "m p three",
    "mp4": "m p four",
    "jpeg": "jay peg",
    "jpg": "j p g",
    "exe": "e x e",
    "wav": "wave",
    "gif": "gif",
    "json": "jason",
    "yaml": "yaml",
    "toml": "toml",
    "epub": "e pub",
    "flac": "flac",
    "opus": "opus",
    "7z": "seven z",
    "ini": "ini",
    "http": "h t t p",
    "https": "h t t p s",
    "www": "w w w",
    "html": "h t m l",
    "htm": "h t m",
    "md": "m d",
    "edu": "e d u",
    "m4a": "m four a",
    "m4b": "m four b",
    "txt": "t x t",
    "py": "p y",
    "ogg": "ogg",
    "iso": "i s o",
}
_CAMEL = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+|[^\W\d_]+")


def rules(numbers: Numbers) -> list[Rule]:
    """Return the rules for addresses."""
    reader = _Addresses(numbers)
    return [
        Rule(_URL, reader.url),
        Rule(_MAIL, reader.mail),
        Rule(_DOMAIN, reader.url),
        Rule(_LOCALHOST, reader.url),
        Rule(_WINDOWS, reader.path),
        Rule(_PATH, reader.path),
        Rule(_RELATIVE, reader.path),
        Rule(_FILE, reader.file),
        Rule(_BARE_ENDING, reader.ending),
        Rule(_HANDLE, lambda match: f"at {reader.name(match['name'])}"),
        Rule(_HASHTAG, lambda match: f"hashtag {reader.name(match['name'])}"),
        Rule(_IDENTIFIER, lambda match: reader.name(match[0])),
        Rule(_VANITY, reader.vanity),
        Rule(_PHONE, reader.phone),
        Rule(_LOCAL, lambda match: f"{numbers.digits(match['a'])}, {numbers.digits(match['b'])}"),
        Rule(_TRUNK, reader.groups),
        Rule(
            _ABROAD,
            lambda match: None if len(re.sub(r"\D", "", match[0])) < 7 else f"plus {reader.grouped(match['number'])}",
        ),
        Rule(_GROUPS, reader.groups),
        Rule(_NAMED_VERSION, reader.named_version),
        Rule(_VERSION, reader.version),
        Rule(_EMERGENCY, lambda match: reader.grouped(match[0])),
        Rule(_PLACE, reader.place),
        Rule(
            _HOUSE,
            lambda match: numbers.pairs(match["number"]) + (f" {match['letter'].lower()}" if match["letter"] else ""),
        ),
    ]


def word_parts(word: str) -> list[str]:
    """Split a name into its words, letters and numbers: "StyleTTS2" into "Style", "TTS", "2"."""
    return _CAMEL.findall(word)


class _Addresses:
    def __init__(self, numbers: Numbers) -> None:
        self.numbers = numbers
        words = table("words")
        self.known: dict[str, str] = words["acronym_words"]
        self.letters = frozenset(words["acronyms"].split()) - frozenset(words["common"].split()) - {"ACT", "SAT", "PIN"}

    def label(self, word: str) -> str:
        """Read one piece of an address: a word, or letters one by one."""
        lower = word.lower()
        if lower in _SPOKEN:
            return _SPOKEN[lower]
        if word.isdigit():
            return self.numbers.pairs(word) if len(word) == 4 else self.numbers.number(word)
        if word.upper() in self.letters:
            return spelled(word)
        if not word.isascii() or lower in _WORDS or len(word) > 4:
            return lower
        vowels = any(char in "aeiouy" for char in lower)
        if word.isupper() and len(word) > 1:
            return lower if word in self.known else spelled(word)
        return lower if vowels or len(word) == 1 else spelled(word)

    def name(self, written: str) -> str:
        """Read a name in an address or program: "file_name2" -> "file underscore name two"."""
        words: list[str] = []
        for piece in _PIECE.findall(unicodedata.normalize("NFKC", written)):
            if piece in _MARKS:
                words.append(_MARKS[piece])
            elif piece.lower() in _SPOKEN:
                words.append(_SPOKEN[piece.lower()])
            elif piece.isalnum():
                parts = word_parts(piece) if any(map(str.isupper, piece[1:])) else [piece]
                words += [self.label(part) for part in parts]
        return " ".join(word for word in words if word)

    def host(self, host: str) -> str:
        labels = host.split(".")
        words = []
        for number, label in enumerate(labels):
            last = number > 0 and number + 1 == len(labels)
            country = (last or number + 2 == len(labels)) and len(label) == 2 and label.isalpha() and number > 0
            if country and label.lower() not in ("co", "me"):
                words.append(spelled(label))
            elif number and label.lower() in ("com", "org", "net", "gov", "mil", "co", "me", "int"):
                words.append(label.lower())
            else:
                words.append(self.name(label))
        return " dot ".join(word for word in words if word)

    def url(self, match: re.Match[str]) -> Reading:
        written = match[0]
        stripped = written.rstrip(".,;:!?'…*-")
        while stripped.endswith(")") and stripped.count(")") > stripped.count("("):
            stripped = stripped[:-1].rstrip(".,;:!?'")
        bare = re.sub(r"(?i)^(?:[a-z]+://)?(?:www\.(?=[^.]*\.))?", "", stripped)
        host, mark, rest = re.match(r"([^/?#:]*)([/?#:]?)(.*)", bare, re.DOTALL).groups()  # type: ignore[union-attr]
        if not host or not any(map(str.isalnum, host)):
            return None
        if (
            written[0].isupper()
            and "/" not in written
            and match.re is _DOMAIN
            and host.rsplit(".", 1)[1] in ("in", "it", "me", "no", "at", "be", "us", "name", "in")
        ):
            return None
        words = self.host(host)
        rest = rest.rstrip("/")
        if rest:
            words += f" {_MARKS[mark]} {self.name(rest)}"
        return words, match.start() + len(stripped)

    def mail(self, match: re.Match[str]) -> Reading:
        host = match["host"].rstrip("-")
        user = match["user"].lstrip(".")
        return f"{self.name(user)} at {self.host(host)}"

    def path(self, match: re.Match[str]) -> Reading:
        stripped = match[0].rstrip(".,;:!?")
        if not any(map(str.isalnum, stripped)):
            return None
        return self.name(stripped), match.start() + len(stripped)

    def file(self, match: re.Match[str]) -> Reading:
        if match["stem"].isdigit() and match["ending"] in ("7z",):
            return None
        ending = match["ending"].lower()
        return f"{self.name(match['stem'])} dot {_SPOKEN.get(ending, self.label(ending))}"

    def ending(self, match: re.Match[str]) -> Reading:
        ending = match["ending"].lower()
        return f"dot {_SPOKEN.get(ending) or self.name(ending)}"

    def version(self, match: re.Match[str]) -> Reading:
        number = match["number"] or match["bare"]
        groups = number.split(".")
        if (
            match["v"] is None
            and len(groups) > 2
            and all(len(group) == 3 for group in groups[1:])
            and len(groups[0]) <= 3
            and groups[0] != "0"
        ):
            if len(groups) != 4:
                return None  # 1.234.567 is one number
        if match["v"] and len(groups) == 1 and match["v"] == "V" and not match["tail"]:
            return None
        if match["v"] is None and len(groups) == 4:
            words = " dot ".join(
                self.numbers.digits(group) if len(group) > 2 or group[0] == "0" else self.numbers.cardinal(group)
                for group in groups
            )
        else:
            words = " point ".join(map(self.numbers.number, groups))
        tail = match["tail"] or match["tail2"]
        if tail:
            words += " " + self.name(tail).replace("dash ", "").replace("dot ", "").replace("rc", "r c")
        if match["port"]:
            words += f" {_MARKS[match['port'][0]]} {self.numbers.pairs(match['port'][1:])}"
        return f"version {words}" if match["v"] else words

    def named_version(self, match: re.Match[str]) -> Reading:
        name = match["name"]
        if name in ("Fig.", "Sec.", "§") or name in ("iOS", "macOS", "PHP", "HTML", "HTTP", "USB", "CUDA"):
            name = {"Fig.": "figure", "Sec.": "section", "§": "section", "iOS": "i o s", "macOS": "mac o s"}.get(
                name
            ) or spelled(name)
        return f"{name} {' point '.join(map(self.numbers.number, match['number'].split('.')))}"

    def grouped(self, written: str) -> str:
        """Read groups of digits one by one, with a pause between the groups."""
        return ", ".join(self.numbers.digits(group) for group in re.findall(r"[0-9]+", written))

    def groups(self, match: re.Match[str]) -> Reading:
        digits = re.sub(r"[^0-9]", "", match[0])
        if len(digits) < 6 and " " not in match[0]:
            return (
                None
                if match[0].count("-") < 2
                else " ".join(self.numbers.number(group) for group in re.findall(r"[0-9]+", match[0]))
            )
        if len(digits) < 7 and match.re is _TRUNK:
            return None
        if match.re is _GROUPS and len(digits) < 7:
            return ", ".join(self.numbers.number(group) for group in match[0].split("-"))
        tail = " x" if match[0].endswith("X") else ""
        return self.grouped(match[0]) + tail

    def phone(self, match: re.Match[str]) -> Reading:
        groups = [match["country"] or "", match["area"] or match["area2"], match["a"], match["b"]]
        words = ", ".join(self.numbers.digits(group) for group in groups if group)
        if match["country"] and match["country"].startswith("+"):
            words = f"plus {words}"
        return f"{words}, extension {self.numbers.digits(match['ext'])}" if match["ext"] else words

    def vanity(self, match: re.Match[str]) -> Reading:
        area = (
            f"{self.numbers.cardinal(match['area'][0])} hundred"
            if match["area"][1:] == "00"
            else self.numbers.digits(match["area"])
        )
        rest = " ".join(
            self.numbers.digits(part) if part.isdigit() else part.lower() for part in match["word"].split("-")
        )
        return f"one {area} {rest}"

    def place(self, match: re.Match[str]) -> Reading:
        name = {"Apt": "apartment", "Apt.": "apartment", "Rm": "room", "Rm.": "room"}.get(match["name"], match["name"])
        return f"{name} {self.numbers.pairs(match['number'])}"
