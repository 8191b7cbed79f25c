"""The pixels of a DICOM dataset without loss in RLE, JPEG 2000 or JPEG, each by a library that writes it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Compression = Literal["none", "rle", "jpeg2000", "jpeg_lossless"]


def compress(data: Dataset, compression: Compression) -> None:
    """Compress the pixels of ``data`` in place; its other elements but for the transfer syntax stay."""
    from pydicom.uid import JPEG2000Lossless, RLELossless

    if compression == "rle":
        data.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    elif compression == "jpeg2000":
        data.compress(JPEG2000Lossless, encoding_plugin="pylibjpeg", generate_instance_uid=False)
    elif compression == "jpeg_lossless":
        _compress_with_gdcm(data)


def _compress_with_gdcm(data: Dataset) -> None:
    """Lossless JPEG with first-order prediction (process 14, selection value 1), which pydicom has no encoder for."""
    import gdcm
    import pydicom

    with tempfile.TemporaryDirectory(prefix="phantom") as folder:
        before, after = Path(folder) / "before.dcm", Path(folder) / "after.dcm"
        data.save_as(before, enforce_file_format=True)
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(before))
        is_done = reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
        change.SetInput(reader.GetImage())
        is_done = is_done and change.Change()
        writer.SetFileName(str(after))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        if not (is_done and writer.Write()):
            raise RuntimeError(
                f"GDCM cannot compress a phantom of {data.Columns} x {data.Rows} pixels as lossless JPEG"
            )
        written = pydicom.dcmread(after)
    data.file_meta.TransferSyntaxUID = written.file_meta.TransferSyntaxUID
    data["PixelData"] = written["PixelData"]
