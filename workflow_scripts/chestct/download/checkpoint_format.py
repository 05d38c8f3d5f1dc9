"""Whether a file without a published digest can be weights at all: a whole checkpoint of tensors.

Formats: PyTorch's zip archive; its older sequence of pickles and raw storages (torch/serialization.py,
``_legacy_save``); a pickle of NumPy arrays. Nothing that a file names is imported or called, and the standard
library suffices. That the tensors are those of a model, the training step proves as it loads them.
"""

import pickle
import zipfile
from pathlib import Path
from typing import IO, Any

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
#: Bytes of a number, by the storage's name.
_BYTES = {
    "DoubleStorage": 8,
    "LongStorage": 8,
    "FloatStorage": 4,
    "IntStorage": 4,
    "HalfStorage": 2,
    "BFloat16Storage": 2,
    "ShortStorage": 2,
    "CharStorage": 1,
    "ByteStorage": 1,
    "BoolStorage": 1,
    "UntypedStorage": 1,
}
_LARGEST_PICKLE = 1 << 28


class _Inert:
    """Stands for whatever a pickle names: takes everything, does and keeps nothing."""

    name = ""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __call__(self, *_: Any, **__: Any) -> "_Inert":
        return self

    def __setstate__(self, _: Any) -> None: ...

    def __setitem__(self, *_: Any) -> None: ...

    def __hash__(self) -> int:
        return id(self)

    def append(self, *_: Any) -> None:
        """As of a list."""

    extend = update = add = append


class _Reader(pickle.Unpickler):
    """Reads a pickle without what it names; notes that, and the storages that it refers to."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self.storages: dict[str, int] = {}
        self.names: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        self.names.add(f"{module}.{name}")
        return type(name, (_Inert,), {"name": name})

    def persistent_load(self, pid: Any) -> Any:
        _, storage, key, _, number, *_ = pid
        self.storages[str(key)] = int(number) * _BYTES[storage.name]
        return _Inert()


def problem_of(path: Path) -> str | None:
    """Why a file is no whole checkpoint, or None.

    Args:
        path: of the file.

    Raises:
        OSError: it cannot be read.
    """
    try:
        return _problem_of_zip(path) if zipfile.is_zipfile(path) else _problem_of_pickles(path)
    except OSError:
        raise
    except Exception as error:  # a file that is none of these can fail in any way
        return f"it does not parse as one ({type(error).__name__})"


def _problem_of_zip(path: Path) -> str | None:
    with zipfile.ZipFile(path) as archive:
        tables = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(tables) != 1:
            return "it is another zip archive"
        packed = [info.filename for info in archive.infolist() if info.compress_type != zipfile.ZIP_STORED]
        if packed or archive.getinfo(tables[0]).file_size > _LARGEST_PICKLE:
            return "its storages are packed"
        damaged = archive.testzip()
        if damaged is not None:
            return f"{damaged} in it is damaged"
        with archive.open(tables[0]) as file:
            reader = _Reader(file)  # type: ignore[arg-type]
            reader.load()
        sizes = {info.filename: info.file_size for info in archive.infolist()}
    folder = tables[0].removesuffix("data.pkl")
    lacking = [key for key, size in reader.storages.items() if sizes.get(f"{folder}data/{key}") != size]
    if lacking:
        return f"{len(lacking)} of {len(reader.storages)} storages are missing or of another size"
    return None if reader.storages else "it holds no tensor"


def _problem_of_pickles(path: Path) -> str | None:
    size = path.stat().st_size
    with open(path, "rb") as file:
        first = _Reader(file)
        if first.load() != _MAGIC:
            if file.tell() != size:
                return "something follows its pickle"
            arrays = any(name.startswith("numpy.") for name in first.names)
            return None if arrays else "it holds no tensor"
        protocol, _ = _Reader(file).load(), _Reader(file).load()
        content = _Reader(file)
        content.load()
        keys = _Reader(file).load()
        expected = sum(8 + content.storages[str(key)] for key in keys)
        if protocol != _PROTOCOL or not keys or set(map(str, keys)) != set(content.storages):
            return "it holds no tensor" if not keys else "its storages are not those of its tensors"
        return None if size - file.tell() == expected else "it is cut short, or longer than its tensors"
