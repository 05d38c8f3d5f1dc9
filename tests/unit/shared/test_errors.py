"""What is wrong is told whichever process found it."""

import pickle

import pytest

from chestct.errors import DamageError, InputError


@pytest.mark.parametrize("kind", [InputError, DamageError])
def test_errors_pass_from_process_to_process(kind):
    error = kind("no room", where="/a", expected="room", remedy="make some")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind and (str(again), again.what) == (str(error), "no room")
