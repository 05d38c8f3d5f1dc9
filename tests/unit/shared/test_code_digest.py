"""Which changes of the code change the digest that a job has of it."""

import os
import sys
from pathlib import Path

import pytest

from chestct.jobs import code_digest

FILES = {
    "job.py": '"""A script."""\n\nfrom chestct.step.work import run\n\nrun()\n',
    "chestct/__init__.py": "",
    "chestct/step/__init__.py": "",
    "chestct/step/work.py": "def run():\n    from . import late\n\n    return late.PAGE\n",
    "chestct/step/late.py": 'PAGE = "page.html.j2"\n',
    "chestct/step/page.html.j2": "{% include 'part.js' %}\n",
    "chestct/step/part.js": "1;\n",
    "chestct/step/unused.py": "import chestct.other\n",
    "chestct/other.py": "NUMBER = 1\n",
    "chestct/table.csv": "a\n1\n",
}


@pytest.fixture(autouse=True)
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small package with an entry script."""
    monkeypatch.setattr(code_digest, "SCRIPTS", tmp_path)
    monkeypatch.setattr(code_digest, "_CACHE", tmp_path / "__pycache__" / "code_digest.json")
    # Where PYTHONDONTWRITEBYTECODE is set there is no cache either.
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def digest(*modules: str) -> str:
    """The digest as a new process finds it."""
    for name in ("code_of", "_listed", "_files_of", "_source", "_parsed"):
        getattr(code_digest, name).cache_clear()
    return code_digest.code_of("job", *modules)


@pytest.mark.parametrize(
    ("file", "text", "counts"),
    [
        ("job.py", FILES["job.py"] + "run()\n", True),
        ("chestct/step/__init__.py", "NEW = 1\n", True),
        ("chestct/step/late.py", FILES["chestct/step/late.py"] + "NEW = 1\n", True),
        ("chestct/step/part.js", "2;\n", True),
        ("job.py", FILES["job.py"].replace("script", "text") + "\n\n# The end.\n", False),
        (
            "chestct/step/work.py",
            FILES["chestct/step/work.py"].replace(":\n", ':\n    """Run."""\n', 1),
            False,
        ),
        ("chestct/step/unused.py", "NEW = 1\n", False),
        ("chestct/step/new.py", "NEW = 1\n", False),
        ("chestct/table.csv", "a\n2\n", False),
    ],
)
def test_the_digest_follows_what_the_script_imports(tree: Path, file: str, text: str, counts: bool) -> None:
    before = digest()
    assert digest() == before, "what is read from the cache is the same"
    (tree / file).write_text(text)
    assert (digest() != before) is counts


def test_a_module_chosen_by_name_counts_with_its_imports(tree: Path) -> None:
    before = digest("chestct.step.unused")
    assert before != digest()
    (tree / "chestct/other.py").write_text("NUMBER = 2\n")
    assert before != digest("chestct.step.unused")
    with pytest.raises(FileNotFoundError, match=r"chestct\.step\.missing"):
        digest("chestct.step.missing")


def test_folders_are_listed_and_no_file_is_asked_for(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest()
    folders = sum(path.is_dir() for path in tree.rglob("*")) + 1
    asked: list[str] = []

    def counted(function):
        def call(path, *arguments, **options):
            asked.append(str(path))
            return function(path, *arguments, **options)

        return call

    for name in ("stat", "lstat", "scandir"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    digest()
    monkeypatch.undo()
    assert len(asked) <= 2 * folders, "a list of each folder, and whether it is a link"


def test_a_damaged_cache_is_made_again(tree: Path) -> None:
    expected, cache = digest(), tree / "__pycache__" / "code_digest.json"
    content = cache.read_bytes()
    others = [b"[]", b"5", b"null", b"\0" * 99, b"\xff", b"[" * 10**5, content.partition(b"\n")[2]]
    flips = [content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :] for at in range(0, len(content), 40)]
    for damaged in (*others, *flips, content[:-5]):
        cache.write_bytes(damaged)
        assert digest() == expected
    assert cache.read_bytes() == content
