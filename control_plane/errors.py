"""The error tree; the catalogue of codes is ``error_codes.py``.

::

    TidegateError                 code, status and headers come from the catalogue
    ├── MalformedRequest          400  the bytes are not what HTTP and JSON allow
    ├── InvalidParameter          400  a header or query parameter is out of its range
    ├── Unauthenticated           401  with WWW-Authenticate
    ├── Forbidden                 403
    ├── InvalidInput              422  the body violates the contract; carries every fault
    ├── Overloaded, Unavailable   503  with Retry-After
    ├── DeadlineExceeded          504
    └── …                         any other code of the catalogue

Nothing outside the doors knows HTTP: an error carries its status as a plain number, and one
renderer (``problem.py``) turns it into the envelope.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from control_plane.error_codes import CATALOGUE


class Fault(Struct, frozen=True, omit_defaults=True):
    """One fault of a request body.

    Attributes:
        field: The input's name as the contract has it: ``text``, ``rows[0].age``; outside of
            ``inputs`` the path in the body: ``options.explain``.
        issue: What is wrong, in words that need no other text.
        path: JSON Pointer into the body (RFC 6901).
        received: The value received, shortened, if it is a scalar.
        received_type: JSON type received, if the type is wrong.
        received_length: Characters or items received, if the length is wrong.
        allowed: What would be accepted, where that is a short list.
        accepted_by: Versions of the model that accept this input.
    """

    field: str
    issue: str
    path: str
    received: str | int | float | bool | None = None
    received_type: str | None = None
    received_length: int | None = None
    allowed: list[Any] | None = None
    accepted_by: list[str] | None = None


class TidegateError(Exception):
    """An error with a code of the catalogue, safe to be shown to a client.

    Attributes:
        code: A key of ``CATALOGUE``.
        message: One sentence; never a traceback, host, path or worker.
        details: The facts that the catalogue's remedy points to.
        headers: Headers of the answer, lower case.
    """

    code: str = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        details: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code
        self.message = message
        self.details = details or {}
        self.headers = headers or {}

    @property
    def status(self) -> int:
        """The HTTP status of the code."""
        return CATALOGUE[self.code].status


class MalformedRequest(TidegateError):
    """The body cannot be read as JSON."""

    code = "MALFORMED_REQUEST"


class InvalidParameter(TidegateError):
    """A header or query parameter is unknown or out of range."""

    code = "INVALID_PARAMETER"

    def __init__(self, parameter: str, issue: str, received: str | None = None) -> None:
        details: dict[str, Any] = {"parameter": parameter, "issue": issue}
        if received is not None:
            details["received"] = received[:64]
        super().__init__(f"{parameter} {issue}", details=details)


class InvalidInput(TidegateError):
    """The body violates the contract.

    Attributes:
        faults: Every fault found, at least one.
    """

    code = "INVALID_INPUT"

    def __init__(self, faults: list[Fault], message: str = "Input validation failed") -> None:
        super().__init__(message)
        self.faults = faults


class Unauthenticated(TidegateError):
    """No credentials, or none that are valid."""

    code = "UNAUTHENTICATED"

    def __init__(self, message: str, *, error: str | None = None) -> None:
        """Name the challenge.

        Args:
            message: One sentence.
            error: Error code of RFC 6750, such as ``invalid_token``; None if there were no
                credentials.
        """
        challenge = 'Bearer realm="tidegate"' + (f', error="{error}"' if error else "")
        super().__init__(message, headers={"www-authenticate": challenge})


class Forbidden(TidegateError):
    """The credentials do not allow this."""

    code = "FORBIDDEN"


class AdmissionUnavailable(TidegateError):
    """The accounts cannot be asked."""

    code = "ADMISSION_UNAVAILABLE"

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message, headers={"retry-after": str(retry_after_s)})


class NotAvailable(TidegateError):
    """The option asked for is not offered here."""

    code = "NOT_AVAILABLE"


class ModelFailed(TidegateError):
    """The model failed on this input or broke its contract."""

    code = "MODEL_FAILED"


class Overloaded(TidegateError):
    """Too many requests wait for this model."""

    code = "OVERLOADED"

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message, headers={"retry-after": str(retry_after_s)})


class ModelUnavailable(TidegateError):
    """No healthy server has the model version loaded, or it is being shut down."""

    code = "MODEL_UNAVAILABLE"

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message, headers={"retry-after": str(retry_after_s)})


class DeadlineExceeded(TidegateError):
    """The deadline passed before the answer came."""

    code = "DEADLINE_EXCEEDED"
