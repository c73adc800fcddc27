"""Asks a deployed service for pictures, by command line (`python -m client`) and as a library.

    from client import Client

    with Client("http://127.0.0.1:8501") as client:
        picture = client.generate("a small red circle on white", seed=1)
    print(picture.save("out"), picture.fingerprint)

`Client.from_stack()` finds the service by the outputs of the project's Pulumi stack, and
`AsyncClient(client)` is for coroutines. Everything that fails on purpose is a `ClientError`:

    ClientError
    ├── InputRefusedError         a value outside what the model accepts
    │   └── PictureFileError      a picture file or folder that cannot be used
    ├── UnreachableError          no service that can be used
    │   ├── StackOutputError      the stack does not say where it is
    │   ├── ModelNotFoundError    a server without this model
    │   └── UnexpectedAnswerError something that is not TF Serving with this model
    ├── ModelLoadingError         up, and not ready yet
    ├── QueueFullError            no room in the queue
    └── RequestTimeoutError       not finished in time
"""

from client.api import Client
from client.asynchronous import AsyncClient
from client.errors import (
    ClientError,
    InputRefusedError,
    ModelLoadingError,
    ModelNotFoundError,
    PictureFileError,
    QueueFullError,
    RequestTimeoutError,
    StackOutputError,
    UnexpectedAnswerError,
    UnreachableError,
)
from client.limits import Limits, PictureRequest
from client.pictures.picture import Picture, SavedPicture
from client.stacks.discovery import StackOutputs, read_stack
from client.transports.endpoints import Protocol
from client.transports.transport import ModelState, ModelStatus

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "InputRefusedError",
    "Limits",
    "ModelLoadingError",
    "ModelNotFoundError",
    "ModelState",
    "ModelStatus",
    "Picture",
    "PictureFileError",
    "PictureRequest",
    "Protocol",
    "QueueFullError",
    "RequestTimeoutError",
    "SavedPicture",
    "StackOutputError",
    "StackOutputs",
    "UnexpectedAnswerError",
    "UnreachableError",
    "read_stack",
]
