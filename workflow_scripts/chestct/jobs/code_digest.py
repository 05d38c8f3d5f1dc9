"""The digest of the code that a job depends on: its entry script and all modules that this imports.

As a parameter of a job it makes Snakemake redo the job when that code changes, and no other job. What a job
imports is found in the source, so that nobody has to keep a list. Comments, blank lines and docstrings do not
count. Tables of the package (CSV, YAML) do not count either: what a job takes from a row is its parameter.
"""

import ast
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from chestct.errors import InputError
from chestct.files import digest_object, digested, sha256_file, undigested, write_text

#: Folder of the entry scripts and of the package.
SCRIPTS = Path(__file__).resolve().parents[2]
PACKAGE = "chestct"
_TEMPLATE = re.compile(r"[\w.-]+\.(?:j2|css|js)")
#: What parsing found, by the SHA-256 of the source: every job of the workflow asks for it again.
_CACHE = Path(__file__).parent / "__pycache__" / "code_digest.json"
_PARSER = f"{sys.version_info[:2]} {sha256_file(__file__)}"


class Source(NamedTuple):
    """What matters of a file: its digest, the modules it may import, the templates it names."""

    digest: str
    imports: list[str]
    templates: list[str]


@cache
def code_of(script: str, *modules: str) -> str:
    """Digest of an entry script and of all modules of the package that it imports, directly or not.

    Args:
        script: name of the entry script, which is the rule's name.
        modules: those that the job chooses by name when it runs, such as ``chestct.models.i3d``.

    Raises:
        FileNotFoundError: the script or a module does not exist.
    """
    start = [SCRIPTS / f"{script}.py"]
    for module in modules:
        paths = list(_files_of(module))
        if len(paths) <= module.count("."):
            raise FileNotFoundError(f"module {module} is not in {SCRIPTS}")
        start += paths
    known = len(_parsed())
    digests: dict[Path, str] = {}
    while start:
        path = start.pop()
        if path in digests:
            continue
        source = _source(path)
        digests[path] = source.digest
        start += [file for module in source.imports for file in _files_of(module)]
        start += _templates_of(path, source.templates)
    if len(_parsed()) > known and not sys.dont_write_bytecode:
        with suppress(InputError):  # in a folder that is not the user's own
            write_text(_CACHE, digested(json.dumps(_parsed())), durable=False)
    return digest_object({str(path.relative_to(SCRIPTS)): digest for path, digest in digests.items()})


@cache
def _listed() -> frozenset[str]:
    """Files below the folder of scripts, relative to it: listed once, and no file asked for by itself.

    Every job on a cluster asks anew, perhaps through a network.
    """
    found: set[str] = set()
    for folder, inside, names in os.walk(SCRIPTS):
        inside[:] = [name for name in inside if name != "__pycache__"]
        prefix = os.path.relpath(folder, SCRIPTS).replace(os.sep, "/") + "/"
        found.update(prefix.removeprefix("./") + name for name in names)
    return frozenset(found)


@cache
def _files_of(module: str) -> tuple[Path, ...]:
    """Files of a module of the package, those of its parents first; the last part may be no module."""
    parts = module.split(".")
    names = ["/".join([*parts[:end], "__init__.py"]) for end in range(1, len(parts) + 1)]
    names.append(f"{'/'.join(parts)}.py")
    return tuple(SCRIPTS / name for name in names if name in _listed())


def _templates_of(path: Path, names: list[str]) -> list[Path]:
    """The templates that lie beside a file, of those that it names."""
    found = [path.parent / name for name in names]
    return [path for path in found if path.relative_to(SCRIPTS).as_posix() in _listed()]


@cache
def _source(path: Path) -> Source:
    content = path.read_bytes()
    # The folder is part of the key, as relative imports depend on it.
    known_as = hashlib.sha256(
        f"{_PARSER} {path.parent.relative_to(SCRIPTS)}\n".encode() + content
    ).hexdigest()
    if known_as not in _parsed():
        _parsed()[known_as] = _parse(path, content)
    return Source(*_parsed()[known_as])


@cache
def _parsed() -> dict[str, Source]:
    try:
        return json.loads(undigested(_CACHE.read_text(encoding="utf-8")))
    except (OSError, ValueError):  # whatever is damaged is parsed again
        return {}


def _parse(path: Path, content: bytes) -> Source:
    if path.suffix != ".py":
        names = sorted(set(_TEMPLATE.findall(content.decode())))
        return Source(hashlib.sha256(content).hexdigest(), [], names)
    tree = ast.parse(content)
    nodes = list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            # A constant that stands alone does nothing: a docstring.
            node.body = [
                line
                for line in node.body
                if not (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
            ]
    texts = (node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return Source(
        hashlib.sha256(ast.dump(tree).encode()).hexdigest(),
        sorted({name for node in nodes for name in _imported(node, path)}),
        sorted({text for text in texts if _TEMPLATE.fullmatch(text)}),
    )


def _imported(node: ast.AST, path: Path) -> Iterator[str]:
    """Names that an import may have as a module of the package."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        base = list(path.parent.relative_to(SCRIPTS).parts)
        base = base[: len(base) + 1 - node.level] if node.level else []
        module = ".".join([*base, *filter(None, [node.module])])
        names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
    else:
        return
    yield from (name for name in names if name.split(".")[0] == PACKAGE)
