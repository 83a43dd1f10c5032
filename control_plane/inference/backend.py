"""What the control plane asks of a model server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

from msgspec import Struct

from control_plane.types import Backing, InferenceRequest, ModelSignature, Tensor


class BackendError(Exception):
    """A model server could not answer.

    ::

        BackendError
        ├── BackendUnreachable   no connection, or the server is going down: another may answer
        ├── BackendBusy          its queue is full
        ├── BackendTimeout       the call took longer than it may
        ├── BackendRejected      the tensors are invalid
        ├── ModelNotLoaded       the server does not have the model version
        └── BackendFailed        the model raised or could not be loaded, or anything else

    The text is the server's own: for the log and for operators, never for a client.
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


LoadState = Literal["ready", "loading", "unloading", "unavailable"]


class ModelState(Struct, frozen=True):
    """A model version as a server knows it.

    Attributes:
        backing: The model and version.
        state: ``unavailable`` if it was unloaded or could not be loaded.
        reason: Why it is not ready, in the server's words; empty if it says nothing.
    """

    backing: Backing
    state: LoadState
    reason: str = ""


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
    async def index(self, timeout_s: float) -> tuple[ModelState, ...]:
        """Every model version that the server knows, in the order of their names.

        A model that it was never asked to load may be missing; a version whose files have gone
        stays until the server is started again.

        Raises:
            BackendError: If the server does not say so within ``timeout_s`` seconds.
        """

    @abstractmethod
    async def load(self, model: str, timeout_s: float) -> None:
        """Load a model with what it is made of, or take up what changed in its files.

        Versions that are ready go on answering until those that replace them are, provided that
        the model's version policy keeps them. After a timeout the server goes on loading.

        Raises:
            BackendUnreachable: If there is no connection.
            BackendTimeout: If it takes longer than ``timeout_s`` seconds.
            BackendFailed: If one of its versions cannot be loaded, with the server's reason; the
                other versions are loaded all the same.
        """

    @abstractmethod
    async def unload(self, model: str, timeout_s: float) -> None:
        """Take all versions of a model out; calls in flight are answered.

        What the model is made of stays loaded. It goes after this returns, and is not ready from
        then on. A model that is not loaded is no error.

        Raises:
            BackendUnreachable: If there is no connection.
            BackendTimeout: If the server does not take note within ``timeout_s`` seconds.
            BackendFailed: If the server refuses.
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
