"""Credentials in addresses: a user, a password, a parameter or a part of a path that may be a secret.

What a parameter's name tells cannot be listed to the end. So those count as harmless whose names say so, or
whose values are too short for a secret, or names of files; all others are taken for secrets.
"""

import re
from urllib.parse import unquote, urlsplit, urlunsplit

#: Parameters that hold a secret, or what it was made for, in lower case: of AWS, Google, Azure, and by the
#: names that others give them.
_SECRETS = re.compile(
    r"x-(amz|goog)-.*|awsaccesskeyid|googleaccessid|sig|signature|policy|key-pair-id|auth|authorization|"
    r".*(token|secret|passw|credential|api[-_]?key|access[-_]?key).*|key|pwd|pswd|pass|pin|jwt|sas|code|sid"
)
#: Parameters that say what is asked for.
_HARMLESS = {
    *("accession", "dl", "doi", "download", "file", "filename", "format", "id", "lang", "name", "page"),
    *("path", "raw", "record", "ref", "release", "rev", "type", "version", "v"),
}
#: A text as long, of letters and digits, is no setting but a secret by any other name.
_LONG = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9+/=_%]{24,}")
#: In a path, too, but for digests (commits) and names of files.
_LONG_PART = re.compile(r"(?=.*[0-9])(?=.*[a-z])(?=.*[A-Z])[A-Za-z0-9+=_%~-]{24,}")
_SHORT = 4
_FILE_NAME = re.compile(r"[\w .+-]+\.[A-Za-z][A-Za-z0-9]{1,4}")
_VARIABLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
#: Where an address begins in a text: its scheme (also a variable) and slashes, as programs forgive them.
_ADDRESS = re.compile(
    r"(?:(?:[A-Za-z][A-Za-z0-9+.-]{1,30}|\$\{\w+\}):[/\\]+|(?<![^\s(<\"'])[/\\]{2})(?P<rest>[^ \t\r\n<>\"']*)"
)


def holds_secret(text: str) -> bool:
    """Whether a text holds an address with what may be a credential; variables (``${NAME}``) are none.

    >>> holds_secret("see https://someone:word@example.org/a.zip"), holds_secret("https://example.org/a.zip")
    (True, False)
    """
    found = [match["rest"] for match in _ADDRESS.finditer(text)]
    if not found and _VARIABLE.search(text):
        found = [text]  # a variable may hold an address, to which the rest belongs
    # One address may stand within another, or right behind it.
    parts = [part for rest in found for part in rest.replace("\\", "/").split("://")]
    return any(_secret_in(part) for part in parts)


def without_secrets(url: str) -> str:
    """An address without user, password, parameters and query, which may hold a signature; for messages."""
    try:
        parts = urlsplit(url)
    except ValueError:  # whose own text may repeat a password
        return "(an address that does not parse)"
    if not parts.netloc:
        return urlunsplit((parts.scheme, "", parts.path, "", ""))
    path = parts.path.partition(";")[0].split("/")
    shown = "/".join("..." if _LONG_PART.fullmatch(unquote(part)) else part for part in path)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], shown, "", ""))


def _secret_in(rest: str) -> bool:
    """Whether what follows an address's scheme and slashes holds a secret."""
    place, path, others = re.fullmatch(r"([^/?#;]*)([^?#;]*)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
    try:
        urlsplit(f"https://{place}")
    except ValueError:
        return True  # nobody can tell where its credentials end
    if "@" in place and _VARIABLE.sub("", place.rpartition("@")[0]).strip(":"):
        return True
    query, _, fragment = unquote(unquote(others)).partition("#")
    if any(_is_secret(*part.partition("=")[::2]) for part in re.split("[?&;]", query) if part):
        return True
    # Programs forgive a question mark that lacks; a fragment may be the name of a section.
    loose = re.split("[?&;#/]", f"{unquote(path)}&{fragment}".partition("&")[2])
    if any(_is_secret(*part.partition("=")[::2]) for part in loose if "=" in part or _LONG.fullmatch(part)):
        return True
    return any(_LONG_PART.fullmatch(_VARIABLE.sub("", part)) for part in unquote(path).split("/"))


def _is_secret(name: str, value: str) -> bool:
    """Whether a parameter, or a part of a query without a value, holds a secret."""
    literal = _VARIABLE.sub("", value)
    name = _VARIABLE.sub("", name).rpartition("/")[2].strip().lower()
    if value and not literal:
        return False
    if literal and _SECRETS.fullmatch(name):
        return True
    text = literal or name
    harmless = name in _HARMLESS or len(text) <= _SHORT or _FILE_NAME.fullmatch(text)
    return not harmless or _LONG.fullmatch(text) is not None
