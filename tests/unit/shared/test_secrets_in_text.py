"""Credentials in addresses, wherever they stand in a text, and what is shown of an address."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chestct.secrets_in_text import holds_secret, without_secrets

SECRET = st.text(string.ascii_letters + string.digits, min_size=5, max_size=40).filter(
    lambda text: not text.isdigit()
)
PLACES = [
    "https://{}@example.org/a.zip",
    "https://user:{}@example.org/a.zip",
    "https:\\\\user:{}@example.org/a.zip",
    "https:/user:{}@example.org/a.zip",
    "//user:{}@example.org/a.zip",
    "${{SCHEME}}://user:{}@example.org/a.zip",
    "${{BASE}}/a.zip?token={}",
    "see https://user:{}@example.org/a.zip, please",
    "https://example.org/a.zip (https://user:{}@example.org)",
    "https://example.org/a.zip;token={}",
    "https://example.org/a;session={}/a.zip",
    "https://example.org/?a=1;token={}",
    "https://example.org/?a=1%26token%3D{}",
    "https://example.org/?a=%2526token%253D{}",
    "https://example.org/#/page?token={}",
    "https://example.org/?hdnts={}~acl",
    "https://user:{}@[::1/a.zip",
    "https://example.org/a.zip&token={}",
    "https://example.org/?token\u00a0={}",
    "https://example.org/?file=x&{}98765",
    "https://example.org/?url=https://user:{}@example.org",
    "https://example.org/a.zip,https://user:{}@example.org",
]


@settings(max_examples=60, deadline=None)
@given(secret=SECRET, place=st.sampled_from(PLACES))
def test_a_secret_is_found_wherever_it_stands_and_never_shown(secret, place):
    text = place.format(f"ZQ{secret}")
    assert holds_secret(text)
    if (
        not text.startswith(("see", "$", "https:/user", "https:\\", "https://example.org/a.zip ("))
        and "zip&" not in text
        and "zip," not in text
    ):
        assert f"ZQ{secret}" not in without_secrets(text)


@settings(max_examples=60, deadline=None)
@given(name=st.text(string.ascii_lowercase + "_-", min_size=1, max_size=12), secret=SECRET)
def test_a_parameter_of_any_name_may_be_a_secret_unless_its_name_says_otherwise(name, secret):
    harmless = {"dl", "doi", "file", "id", "lang", "name", "page", "path", "raw", "ref", "rev", "type", "v"}
    assert holds_secret(f"https://example.org/a.zip?x=1&{name}={secret}") or name in harmless


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org/a.zip;v=2",
        "https://example.org/R&D/archive/page.html?raw#section-two",
        "https://example.org/My%20File.zip?download=1&version=2.1&passage=3",
        "https://example.org/records/1234567/files/a.zip?x=other.zip",
        "https://github.com/o/r/archive/0123456789abcdef0123456789abcdef01234567.zip",
        "https://example.org/0123456789abcdef0123456789abcdef01234567/a.zip",
        "${BASE}/a.zip?token=${TOKEN}",
        "https://${USER}:${PASSWORD}@example.org/a.zip",
        "/data/user:name@host/a.zip",
        "a nodule: 6 mm or more; solid (see docs/volumes.md)",
        "C:\\Users\\me@work\\a.zip",
        "\\\\server\\share\\a.zip",
    ],
)
def test_what_is_no_secret_passes(text):
    assert not holds_secret(text)


@pytest.mark.parametrize(
    "address", ["http://[::1", "http://u:SECRET\u2100@h/", "https://u:SECRET@h:1/a;t=SECRET"]
)
def test_what_is_shown_of_an_address_never_fails_and_holds_no_secret(address):
    assert "SECRET" not in without_secrets(address)


def test_a_path_on_disk_and_a_plain_address_are_shown_as_they_are():
    assert without_secrets("/data/a;b/x.zip") == "/data/a;b/x.zip"
    assert without_secrets("https://example.org/a/b.zip?x=1#y") == "https://example.org/a/b.zip"
    long_part = "A1b2" * 8
    assert without_secrets(f"https://example.org/{long_part}/b.zip") == "https://example.org/.../b.zip"
