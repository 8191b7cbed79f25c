"""Decodes JPEG, lossless JPEG and JPEG-LS pictures with GDCM, from standard input to standard output, until it ends.

Run as a program by ``gdcm_process``, and importing nothing of this package. A request is a line of JSON and the bytes
it announces, an answer a length (8 bytes, -1 where the picture cannot be decoded, -2 where its data end early and the
rest was made up) and the samples, little-endian.
"""

from __future__ import annotations

import json
import os
import resource
import struct
import sys
import tempfile

ANSWER = struct.Struct(">q")
ENDS_EARLY = -2
#: What the JPEG decoder writes to standard error, and nowhere else, of data that end before the picture does.
_SAID_OF_EARLY_END = b"premature end"
#: Many times what the largest picture takes.
MOST_MEMORY_BYTES = 8 << 30


def main() -> None:
    """Answer every request; ends with standard input."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    requests = sys.stdin.buffer
    # What a library prints must not get among the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    said = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - for as long as the program runs
    os.dup2(said.fileno(), 2)
    while line := requests.readline():
        request = json.loads(line)
        codestream = requests.read(request.pop("n_bytes"))
        said.seek(0)
        said.truncate()
        try:
            samples = decode(codestream, **request)
            said.seek(0)
            if _SAID_OF_EARLY_END in said.read():
                answers.write(ANSWER.pack(ENDS_EARLY))
            else:
                answers.write(ANSWER.pack(len(samples)) + samples)
        # Whatever a decoder runs into is the answer that it cannot.
        except Exception:
            answers.write(ANSWER.pack(-1))
        answers.flush()


def decode(codestream: bytes, *, syntax: str, rows: int, columns: int, n_samples: int, bits: int) -> bytes:
    """The samples of one picture, one byte each up to 8 ``bits``, else two; colour pixel by pixel in RGB."""
    import gdcm

    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(codestream)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    kind = gdcm.PhotometricInterpretation.MONOCHROME2 if n_samples == 1 else gdcm.PhotometricInterpretation.RGB
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((columns, rows, 1))
    image.SetDataElement(element)
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    if n_samples > 1:
        image.SetPlanarConfiguration(0)
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
    image.SetPixelFormat(gdcm.PixelFormat(n_samples, 8 if bits <= 8 else 16, bits, bits - 1, 0))
    # GDCM hands its bytes over as text.
    return image.GetBuffer().encode("utf-8", "surrogateescape")


if __name__ == "__main__":
    main()
