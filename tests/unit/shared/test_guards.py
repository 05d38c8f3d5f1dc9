"""Guards against what users do: several mistakes at once, misspelt names, files that do not parse."""

from itertools import pairwise

import pytest

from chestct.check_configuration import check_configuration
from chestct.check_schema import in_words, schema
from chestct.errors import InputError
from chestct.near_words import near, suggestion
from chestct.rounded_shares import is_other_share
from chestct.yaml_file import main, read_yaml
from tests.unit.shared.configurations import change


def told(config, **changes):
    """What is said of a configuration with some keys changed, a dot written as two underscores."""
    for path, value in changes.items():
        config = change(config, path.replace("__", "."), value)
    with pytest.raises(InputError) as caught:
        check_configuration(config)
    return str(caught.value)


def test_all_keys_that_break_the_schema_are_told_at_once(config):
    words = told(config, percents=[0, 100], training__batchsize=8, figures__dpi="high", seeds=[0, 0])
    assert words.startswith("4 things are wrong with it:\n1. 'high' is not of type 'integer'")
    for key in ("figures.dpi", "percents.0", "seeds", "training"):
        assert f"configuration key '{key}'" in words
    assert "did you mean 'batch_size'?" in words and words.count("remedy:") == 4


def test_what_the_schema_cannot_know_is_told_at_once_too(config):
    words = told(
        config,
        datasets__0__source="own_data",
        datasets__1__ct_source="elsewhere",
        training__crop_px=50,
        subsets__split__train=0.6,
    )
    assert words.startswith("4 things are wrong")
    for part in (
        "needs ['table', 'columns']",
        "'elsewhere' is not another dataset",
        "sum to 1.2",
        "50 exceeds",
    ):
        assert part in words
    words = told(config, models__0__name="slow_narow", models__7__name="i3dd")
    assert words.startswith("2 things are wrong")
    assert "did you mean 'slow_narrow'" in words and "did you mean 'i3d'" in words
    words = told(config, training__long_factor=0.5, training__precision="16-mixed", training__batch_size=7)
    assert "16-mixed needs a GPU" in words and "0.5 times as long" in words


def test_one_error_is_told_as_before_and_many_are_cut(config):
    assert told(config, percents=[0, 100]).startswith("0 is less than the minimum of 1\n  where: ")
    entries = [{"name": f"none_{number}"} for number in range(14)]
    words = told(config, models=entries)
    assert words.startswith("14 things") and "\n10. " in words and words.endswith("\nand 4 more")


def test_secrets_are_told_alone(config):
    words = told(config, datasets__0__archive="https://u:ZQSECRET@example.org/a.zip", percents=["ZQSECRET"])
    assert "holds a credential" in words and "ZQSECRET" not in words


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (
            "percents",
            "a list that is not empty; each of them a whole number from 1 to 100; none of them twice",
        ),
        (
            "study",
            "a text of lower case letters, digits and underscores, no underscore first, at most 64 letters",
        ),
        ("evaluation.confidence", "a number above 0 and below 1"),
        ("training.batch_size", "a whole number from 1 to 65536"),
        ("training.weight_decay", "a number from 0 to 1000"),
        ("training.compile", "one of auto, always, never, or true or false"),
        ("training.patience", "the keys windows_per_scan, min_windows, or null"),
        ("training.precision", "one of 32-true, bf16-mixed, 16-mixed"),
    ],
)
def test_the_schema_in_words(path, words):
    rule = schema()
    for part in path.split("."):
        rule = rule["properties"][part]
    assert in_words(rule) == words


def test_every_rule_of_the_schema_has_words():
    def walk(rule):
        assert "{" not in in_words(rule) and "that matches" not in in_words(rule)
        parts = [*rule.get("properties", {}).values(), *rule.get("anyOf", [])]
        for part in [*parts, *([rule["items"]] if "items" in rule else [])]:
            walk(part)

    walk(schema())


def test_near_names_are_listed_the_nearest_first():
    names = ["slow_narrow", "slowfast_narrow", "csn_narrow", "i3d"]
    assert near("SLOW_narow", names)[0] == "slow_narrow"
    assert suggestion("i3", names) == "did you mean 'i3d'?"
    assert suggestion("zzz", names) == "choose one of slow_narrow, slowfast_narrow, csn_narrow, i3d"
    assert suggestion("slow_narrw", names).startswith("did you mean 'slow_narrow', ")
    assert near("x", []) == []


def test_a_share_that_rounding_explains_is_the_one_asked_for():
    assert not is_other_share(10, taken=7, total=62) and not is_other_share(50, taken=36, total=71)
    assert is_other_share(1, taken=2, total=62) and is_other_share(25, taken=4, total=12)


@pytest.mark.parametrize(
    ("text", "line"),
    [("study: a\nseeds: [0, 1\npercents: [100]\n", 3), ("study: a\n\ttab: 1\n", 2), ("a: b: c\n", 1)],
)
def test_yaml_that_does_not_parse_is_told_with_its_line(tmp_path, capsys, text, line):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"not valid YAML[\s\S]*mine.yaml, line {line}, column"):
        read_yaml(path)
    (tmp_path / "good.yaml").write_text("study: a\n")
    assert main([str(tmp_path / "good.yaml"), str(path)]) == 1
    assert f"mine.yaml, line {line}" in capsys.readouterr().err
    assert main([str(tmp_path / "good.yaml")]) == 0
    (tmp_path / "list.yaml").write_text("- a\n")
    with pytest.raises(InputError, match="holds no keys"):
        read_yaml(tmp_path / "list.yaml")


BOMB = "a: &a [x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in pairwise("abcdefghi")
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seeds: [0]\nseeds: [1]\n", r"'seeds' appears here twice[\s\S]*line 2"),
        ("a:\n  b: 1\n  'b': 2\n", r"'b' appears here twice[\s\S]*line 3"),
        ("a: [{b: 1, b: 2}]\n", "'b' appears here twice"),
        ("? [a]\n: 1\n", "name of a key must be text"),
        ("seeds: [010]\n", "'010' is no decimal number"),
        ("seeds: [1:30]\n", "'1:30' is no decimal number"),
        ("seeds: [1_0]\n", "'1_0' is no decimal number"),
        ("a: 0x10\n", "'0x10' is no decimal number"),
        ("a: 0b_\n", "'0b_' is no decimal number"),
        ("a: 1:30.5\n", "'1:30.5' is no decimal number"),
        (f"a: {'9' * 5000}\n", "is no decimal number"),
        ("study: 2024-01-02\n", "of the kind timestamp"),
        ("study: 2024-13-45\n", "of the kind timestamp"),
        ("a: !!binary '*'\n", "of the kind binary"),
        ("a: !!python/object/apply:os.system [id]\n", "of the kind python"),
        ("a: !!int abc\n", "not valid YAML"),
        ("a: !!bool abc\n", "not valid YAML"),
        (BOMB, "lie too deep, are too many"),
        ("a: &a [*a]\n", "lie too deep, are too many"),
        ("a: &a {b: *a}\n", "lie too deep, are too many"),
        ("a: " + "[" * 400 + "]" * 400, "lie too deep"),
    ],
)
def test_yaml_that_reads_as_something_else_is_refused(tmp_path, text, words):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(InputError, match=words):
        read_yaml(tmp_path / "mine.yaml")


def test_references_and_other_plain_forms_are_read(tmp_path):
    text = "\ufeffa: &x {b: 1, c: '010'}\nd: {<<: *x, b: 2}\ne: [1, -2, 0.5, 1.0e-4, no, ~]\n"
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    assert read_yaml(tmp_path / "mine.yaml") == {
        "a": {"b": 1, "c": "010"},
        "d": {"b": 2, "c": "010"},
        "e": [1, -2, 0.5, 1e-4, False, None],
    }
