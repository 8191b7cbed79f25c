"""The answer of a call that failed: a gRPC status code and a text."""

from __future__ import annotations

import grpc

from cxr_tasks.contracts.errors import CxrError

MAX_MESSAGE_CHARS = 1024
_CODES_BY_NUMBER: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


class StatusError(CxrError):
    """A refused or failed call.

    Args:
        code: Name of a gRPC status code, as in ``INVALID_ARGUMENT``.
        message: The text for the client. Kept whole here; cut only where it leaves the server.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = grpc.StatusCode[code]
        self.message = message

    @property
    def number(self) -> int:
        """The code as ``StatusProto.error_code`` carries it."""
        return self.code.value[0]

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}"


def from_tensorflow(error: Exception) -> StatusError:
    """The status of a ``tf.errors.OpError``: its own code and the text of the op that failed."""
    number = int(getattr(error, "error_code", grpc.StatusCode.UNKNOWN.value[0]))
    code = _CODES_BY_NUMBER.get(number, grpc.StatusCode.UNKNOWN)
    return StatusError(code.name, getattr(error, "message", None) or str(error))


def shortened(message: str) -> str:
    """``message`` as it may leave the server: at most 1024 characters, then ``...TRUNCATED``."""
    return message if len(message) <= MAX_MESSAGE_CHARS else message[:MAX_MESSAGE_CHARS] + "...TRUNCATED"
