"""Text that users, agents or servers wrote, made fit for a terminal. Pure.

Nothing leaves here that moves a cursor, changes a colour, hides or reorders what a person reads; what was there stays visible as a name.
"""

import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories of control, format, surrogate and separator characters: escape sequences, bidirectional overrides (CVE-2021-42574)."""
_KEPT = frozenset("\t\n")
_C0_PICTURES = 0x2400
_DEL, _DEL_PICTURE = 0x7F, "\N{SYMBOL FOR DELETE}"
ELLIPSIS = "…"


class _Table(dict[int, int | str]):
    """A table for str.translate that looks at each character once, when it first comes."""

    def __missing__(self, code: int) -> int | str:
        self[code] = found = self.replacement(code) if unicodedata.category(chr(code)) in _HIDDEN else code
        return found

    def replacement(self, code: int) -> int | str:
        """What stands for a hidden character."""
        raise NotImplementedError


class _Visible(_Table):
    """A picture for the classic control characters, the code point's name for the rest."""

    def replacement(self, code: int) -> int | str:
        """As `␛` or `⟨U+202E⟩`."""
        if chr(code) in _KEPT:
            return code
        if code < ord(" "):
            return _C0_PICTURES + code
        return _DEL_PICTURE if code == _DEL else f"⟨U+{code:04X}⟩"


class _Escaped(_Table):
    """JSON's own escapes: the document says exactly the same. Control characters below space never get here unescaped."""

    def replacement(self, code: int) -> int | str:
        r"""As `\u202e`, in two halves beyond the basic plane (RFC 8259 §7)."""
        if code < ord(" "):
            return code
        units = chr(code).encode("utf-16-be", "surrogatepass")
        return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


_VISIBLE, _ESCAPED = _Visible(), _Escaped()


def clean(text: str) -> str:
    """Text of several lines: only tabs and line ends are left of what is no letter, mark, number, sign or space."""
    return text.translate(_VISIBLE)


def line(text: str, limit: int = 200) -> str:
    """Text for one line of at most `limit` characters; what is cut off is said by an ellipsis."""
    whole = clean(text).replace("\n", chr(_C0_PICTURES + ord("\n"))).replace("\t", " ")
    return whole if len(whole) <= limit else whole[: limit - 1] + ELLIPSIS


def block(text: str, *, lines: int, columns: int) -> str:
    """Text of several lines, each at most `columns` wide and at most `lines` of them; says how much more there is."""
    given = clean(text).split("\n")
    shown = [cut(given_line, columns) for given_line in given[:lines]]
    if len(given) > lines:
        shown.append(f"{ELLIPSIS} {count(len(given) - lines, 'more line')}")
    return "\n".join(shown)


def cut(clean_line: str, columns: int) -> str:
    """A clean line without what goes beyond `columns`; says how much that was."""
    if len(clean_line) <= columns:
        return clean_line
    return f"{clean_line[:columns]}{ELLIPSIS} {count(len(clean_line) - columns, 'more character')}"


def count(number: int, noun: str, nouns: str = "") -> str:
    """As `1 file`, `2 files`."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def escape_json(document: str) -> str:
    """A JSON document whose strings hold no raw character that a terminal could take for a command; the same values all the same."""
    return document.translate(_ESCAPED)
