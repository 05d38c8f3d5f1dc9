"""Files embedded in the report: figures as small PNGs, and the study's tables as one archive."""

import base64
import io
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from chestct.figures.wording import hide_folders
from chestct.records import check_record
from chestct.tables import without_formulas

_SCREEN_DOTS_AN_INCH = 125
#: Enough for the figures' flat colours and smooth letters, at a third of the size of full colour.
_NUM_COLOURS = 128
#: A fixed date, so that the same tables give the same bytes.
_NO_DATE = (1980, 1, 1, 0, 0, 0)


def embed_figure(path: Path, dpi: int) -> dict[str, Any]:
    """A PNG with a palette, as Base64 text (data), and its width on screen in pixels (width).

    Raises:
        InputError: it is not what was written.
    """
    check_record(path, "figure")
    with Image.open(path) as image:
        flat = Image.new("RGB", image.size, "white")
        flat.paste(image, mask=image.getchannel("A") if "A" in image.getbands() else None)
    small = flat.quantize(_NUM_COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    small.save(buffer, "PNG", optimize=True)
    return {
        "data": base64.b64encode(buffer.getvalue()).decode(),
        "width": round(flat.width / dpi * _SCREEN_DOTS_AN_INCH),
    }


def archive_tables(tables: dict[str, pd.DataFrame]) -> dict[str, Any]:
    """Tables as CSV in one ZIP file, with six significant digits and without local paths.

    Returns:
        data: Base64 text; size_bytes: of the file; names: of its members.
    """
    buffer = io.BytesIO()
    names = []
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, table in tables.items():
            texts = table.select_dtypes(include=["string", "object"]).columns
            shown = table.assign(**{column: hide_folders(table[column].tolist()) for column in texts})
            member = zipfile.ZipInfo(f"{name}.csv", date_time=_NO_DATE)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = 0o644 << 16
            text = without_formulas(shown).to_csv(index=False, float_format="%.6g")
            archive.writestr(member, text)
            names.append(member.filename)
    content = buffer.getvalue()
    return {"data": base64.b64encode(content).decode(), "size_bytes": len(content), "names": names}
