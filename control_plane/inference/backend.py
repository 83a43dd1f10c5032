"""What the control plane asks of a model server."""

from __future__ import annotations

from abc import ABC, abstractmethod

from control_plane.types import Backing, InferenceRequest, ModelSignature, Tensor


class BackendError(Exception):
    """A model server could not answer.

    ::

        BackendError
        ├── BackendUnreachable   no connection, or the server is going down: another may answer
        ├── BackendBusy          its queue is full
        ├── BackendTimeout       the call took longer than it may
        ├── BackendRejected      the tensors are invalid
        └── BackendFailed        the model raised, is not loaded, or anything else

    The text is the server's own and for the log alone.
    """


class BackendUnreachable(BackendError):
    """There is no connection to the server."""


class BackendBusy(BackendError):
    """The server's queue for the model is full."""


class BackendTimeout(BackendError):
    """The call, or its wait in the server's queue, took longer than it may."""


class BackendRejected(BackendError):
    """The server calls the request's tensors invalid."""


class BackendFailed(BackendError):
    """The model raised, or the server failed in another way."""


class ModelNotLoaded(BackendError):
    """The server does not have the model version, or not any more."""


class InferenceBackend(ABC):
    """One model server."""

    name: str

    @abstractmethod
    async def infer(self, request: InferenceRequest) -> dict[str, Tensor]:
        """Run a model once.

        Returns:
            The requested outputs by name, batch dimension first.

        Raises:
            BackendError: One of its leaves.
            asyncio.CancelledError: If the task was cancelled; the server is told.
        """

    @abstractmethod
    async def ready_models(self, timeout_s: float) -> frozenset[Backing]:
        """The model versions that can answer now; empty if the server is not ready.

        Raises:
            BackendError: If the server does not say so within ``timeout_s`` seconds.
        """

    @abstractmethod
    async def signature(self, backing: Backing, timeout_s: float) -> ModelSignature:
        """The tensors of a model version, as the server has it loaded.

        Raises:
            BackendError: If the server does not say so within ``timeout_s`` seconds.
        """

    @abstractmethod
    async def close(self) -> None:
        """Close the connection; calls in flight are cancelled."""
