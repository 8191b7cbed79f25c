"""The stored samples of one DICOM picture, out of whatever compression they are in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cxr_tasks.images.dicom.codestream import JPEG_START, codestream_form
from cxr_tasks.images.dicom.elements import named, refused_element, whole_number, word
from cxr_tasks.images.dicom.gdcm_process import decode_with_gdcm
from cxr_tasks.images.dicom.refused import DicomRefused, damaged
from cxr_tasks.images.rules import MOST_MEGAPIXELS

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

#: The largest X-ray detectors give about 20 million pixels.
MOST_PIXELS = MOST_MEGAPIXELS * 1_000_000
EIGHT_BITS = 8
RLE = "1.2.840.10008.1.2.5"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
#: Transfer syntax (PS3.5 A.4) -> what decodes it: one library for each, so that the same file gives the same pixels
#: everywhere. '' stands for pixels that are not compressed.
DECODERS = {
    "1.2.840.10008.1.2": "",  # implicit little endian
    "1.2.840.10008.1.2.1": "",  # explicit little endian
    "1.2.840.10008.1.2.2": "",  # explicit big endian, retired
    RLE: "pydicom",
    "1.2.840.10008.1.2.4.50": "pillow",  # JPEG, baseline
    JPEG_EXTENDED: "pillow",  # above 8 bits: gdcm
    "1.2.840.10008.1.2.4.57": "gdcm",  # JPEG, lossless
    "1.2.840.10008.1.2.4.70": "gdcm",  # JPEG, lossless, first-order prediction
    "1.2.840.10008.1.2.4.80": "gdcm",  # JPEG-LS, lossless
    "1.2.840.10008.1.2.4.81": "gdcm",  # JPEG-LS, near-lossless
    "1.2.840.10008.1.2.4.90": "pylibjpeg",  # JPEG 2000, lossless
    "1.2.840.10008.1.2.4.91": "pylibjpeg",  # JPEG 2000
}
#: Of pydicom, whose own type for it is another.
_AS_STORED: Any = {"correct_unused_bits": False}
GREY_KINDS = ("MONOCHROME1", "MONOCHROME2")
COLOUR_KINDS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


def decoded_samples(dataset: FileDataset) -> tuple[np.ndarray, bool]:
    """Samples as stored, of 8 or 16 bits, ``(rows, columns)`` or RGB ``(rows, columns, 3)``; and are they noisy?

    Noisy are those that compression may have moved beyond the range; RLE keeps every bit as it was. Values of one
    sample may have bits set above those stored. Call it inside ``quiet.quiet``.

    Raises:
        DicomRefused: Not one picture of bounded size in grey or RGB, or not in a form that can be decoded.
    """
    decoder = _decoder(dataset)
    _check_form(dataset)
    _complete(dataset)
    return (_decompressed(dataset, decoder) if decoder else _uncompressed(dataset)), decoder not in {"", "pydicom"}


def _decoder(dataset: FileDataset) -> str:
    syntax = str(dataset.file_meta.get("TransferSyntaxUID", ""))
    if syntax not in DECODERS:
        raise DicomRefused(
            "unsupported_transfer_syntax",
            "the pixels are compressed in a way that is not read here (video, HTJ2K, private or unnamed)",
            "export the file uncompressed, or as JPEG, JPEG 2000, JPEG-LS or RLE",
        )
    return "gdcm" if syntax == JPEG_EXTENDED and int(dataset.BitsStored) > 8 else DECODERS[syntax]


def _check_form(dataset: FileDataset) -> None:
    if "PixelData" not in dataset:
        raise refused_element("PixelData", "pixels of up to 16 bits", "floating-point pixels")
    rows, columns = whole_number(dataset, "Rows"), whole_number(dataset, "Columns")
    if rows < 1 or columns < 1:
        raise damaged(f"{columns} x {rows} pixels ({named('Columns')}, {named('Rows')})")
    if rows * columns > MOST_PIXELS:
        detail = f"{columns} x {rows} pixels, at most {MOST_PIXELS:,} in all"
        raise DicomRefused("too_many_pixels", detail, "check where the file comes from")
    n_frames = whole_number(dataset, "NumberOfFrames", 1) or 1
    if n_frames != 1:
        raise _many_frames(n_frames)
    if not dataset.PixelData:
        detail = f"{named('PixelData')} is empty; expected {columns} x {rows} pixels"
        raise DicomRefused("no_pixels", detail, "fetch the file again")
    _check_bits(dataset)


def _check_bits(dataset: FileDataset) -> None:
    allocated, stored = whole_number(dataset, "BitsAllocated"), whole_number(dataset, "BitsStored")
    if allocated not in {8, 16}:
        raise refused_element("BitsAllocated", "8 or 16", str(allocated))
    if not 1 <= stored <= allocated:
        raise refused_element("BitsStored", f"1 to the {allocated} allocated", str(stored))
    high_bit = whole_number(dataset, "HighBit", stored - 1)
    if high_bit != stored - 1:
        raise refused_element("HighBit", f"{stored - 1}, the highest of {stored} bits stored", str(high_bit))
    if (sign := whole_number(dataset, "PixelRepresentation", 0)) not in {0, 1}:
        raise refused_element("PixelRepresentation", "0 (unsigned) or 1 (signed)", str(sign))
    samples, kind = whole_number(dataset, "SamplesPerPixel", 1), word(dataset, "PhotometricInterpretation")
    if not kind:
        raise refused_element("PhotometricInterpretation", f"{' or '.join(GREY_KINDS)}", "none: is black 0 or white?")
    if not ((samples == 1 and kind in GREY_KINDS) or (samples == 3 and kind in COLOUR_KINDS and stored == 8)):
        known = kind if kind in {*GREY_KINDS, *COLOUR_KINDS, "PALETTE COLOR"} else "another word"
        expected = f"{' or '.join(GREY_KINDS)} with 1 sample, or grey in RGB or YBR with 3 of 8 bits"
        told = f"{known} with {samples} samples of {stored} bits"
        raise refused_element("PhotometricInterpretation", expected, told)


def _complete(dataset: FileDataset) -> None:
    """Put in what may be left out here and not with pydicom, as it was read here."""
    dataset.SamplesPerPixel = whole_number(dataset, "SamplesPerPixel", 1)
    dataset.PixelRepresentation = whole_number(dataset, "PixelRepresentation", 0)
    dataset.PhotometricInterpretation = word(dataset, "PhotometricInterpretation")
    if dataset.SamplesPerPixel > 1:
        dataset.PlanarConfiguration = whole_number(dataset, "PlanarConfiguration", 0)


def _check_whole(codestream: bytes) -> None:
    """``DicomRefused`` for a JPEG whose data end early, as for a file of its own; Pillow fills it up."""
    from cxr_tasks.images.inspection.jpeg import check_whole
    from cxr_tasks.images.inspection.unusable import Unusable

    try:
        check_whole(codestream)
    except Unusable as why:
        raise DicomRefused(why.reason, why.detail, why.action) from None


def _uncompressed(dataset: FileDataset) -> np.ndarray:
    # YBR_FULL_422 leaves out half of two samples of three.
    samples = 2 if word(dataset, "PhotometricInterpretation") == "YBR_FULL_422" else int(dataset.SamplesPerPixel)
    expected = int(dataset.Rows) * int(dataset.Columns) * samples * int(dataset.BitsAllocated) // 8
    pixels = dataset.PixelData
    if len(pixels) < expected:
        detail = f"{expected} bytes of pixels expected, the file ends after {len(pixels)}"
        raise DicomRefused("truncated", detail, "fetch the file again")
    # Some writers fill up; a row and more that is not of one value belongs to a picture of another form.
    if (len(pixels) - expected) * int(dataset.Rows) >= expected and len(set(pixels[expected:])) > 1:
        form = f"{dataset.Columns} x {dataset.Rows} pixels of {samples} samples of {dataset.BitsAllocated} bits"
        raise damaged(f"{named('PixelData')}: expected {expected} bytes, for {form}, found {len(pixels)}")
    return _by_pydicom(dataset, "")


def _decompressed(dataset: FileDataset, decoder: str) -> np.ndarray:
    """The samples of a compressed picture, ``(rows, columns)`` or ``(rows, columns, 3)``.

    Such a picture has a form of its own, which a decoder makes room for: it must be that of the header.
    """
    from pydicom.encaps import get_frame, parse_basic_offsets

    if (n_frames := len(parse_basic_offsets(dataset.PixelData))) > 1:
        raise _many_frames(n_frames)
    if decoder == "pydicom":
        return _by_pydicom(dataset, decoder)  # RLE has no size, and grows by 64 times at most
    rows, columns, n_samples = int(dataset.Rows), int(dataset.Columns), int(dataset.SamplesPerPixel)
    codestream = get_frame(dataset.PixelData, 0, number_of_frames=1)
    form = codestream_form(codestream)
    if (form.rows, form.columns, form.n_samples) != (rows, columns, n_samples):
        raise damaged(
            f"{columns} x {rows} pixels of {n_samples} samples expected, "
            f"the compressed ones are {form.columns} x {form.rows} of {form.n_samples}"
        )
    if decoder == "pillow" and codestream.startswith(JPEG_START):
        _check_whole(codestream)
    if decoder == "pillow" and form.bits == EIGHT_BITS:
        # Of that syntax; where the header says 16, pydicom would look for as many.
        dataset.BitsAllocated, dataset.BitsStored = EIGHT_BITS, min(dataset.BitsStored, EIGHT_BITS)
    if decoder != "gdcm":
        return _by_pydicom(dataset, decoder)
    if n_samples > 1 and word(dataset, "PhotometricInterpretation") != "RGB":
        raise _unsupported("lossless JPEG in another colour space than RGB")
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    # Extended JPEG has 12 bits at most; some writers put 16 into its header.
    bits = min(form.bits, 12) if syntax == JPEG_EXTENDED else form.bits
    samples = decode_with_gdcm(codestream, syntax=syntax, rows=rows, columns=columns, n_samples=n_samples, bits=bits)
    decoded = np.frombuffer(samples, "u1" if bits <= 8 else "<u2")
    return decoded.reshape((rows, columns) if n_samples == 1 else (rows, columns, n_samples))


def _by_pydicom(dataset: FileDataset, plugin: str) -> np.ndarray:
    """The samples by pydicom and its ``plugin``; colour becomes RGB."""
    from pydicom.pixels import get_decoder

    decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    # Bits above those stored stay: whether they belong to the values is for others to say.
    decoded, _ = decoder.as_array(dataset, index=0, decoding_plugin=plugin, **_AS_STORED)
    if decoded.shape[:2] != (dataset.Rows, dataset.Columns) or decoded.dtype.itemsize > 2:
        raise damaged("the decoded picture has another form than the header says")
    return decoded


def _many_frames(n_frames: int) -> DicomRefused:
    return DicomRefused("many_frames", f"expected one picture, found {n_frames}", "export each as a file")


def _unsupported(found: str) -> DicomRefused:
    return DicomRefused("unsupported_pixels", f"expected grey of up to 16 bits, found {found}", "export it as such")
