"""Client for a deployed service: a command line (`python -m client`) and a library.

    from client import Client

    with Client("http://127.0.0.1:8080") as client:
        picture = client.generate("a small red circle on white", seed=1)
    print(picture.save("out"), picture.fingerprint)

`Client.from_stack()` finds the service through the outputs of the project's Pulumi stack, and
`AsyncClient(client)` is for coroutines. Every expected failure is a `ClientError`:

    ClientError
    ├── InputRefusedError         a value outside what the model accepts
    │   └── PictureFileError      a picture file or folder that cannot be read or written
    ├── UnreachableError          no usable service
    │   ├── StackOutputError      the stack's outputs are missing or unreadable
    │   ├── KeyRefusedError       the web service wants a key, or another one
    │   ├── ModelNotFoundError    the server does not serve this model
    │   └── UnexpectedAnswerError the response is no such service's
    ├── ModelLoadingError         the server is up, but the model is not ready
    ├── QueueFullError            the server's queue is full
    └── RequestTimeoutError       not finished in time
"""

from client.api import Client
from client.asynchronous import AsyncClient
from client.errors import KeyRefusedError, NotExposedError, PictureFileError, StackOutputError
from client.pictures.picture import Picture, SavedPicture
from client.stacks.discovery import StackOutputs, read_stack
from client.transports.progress import PictureProgress
from prediction.description import ModelDescription
from prediction.endpoints import Protocol
from prediction.errors import (
    ClientError,
    InputRefusedError,
    ModelLoadingError,
    ModelNotFoundError,
    QueueFullError,
    RequestTimeoutError,
    UnexpectedAnswerError,
    UnreachableError,
)
from prediction.limits import Limits, PictureRequest
from prediction.model_status import ModelState, ModelStatus

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "InputRefusedError",
    "KeyRefusedError",
    "Limits",
    "ModelDescription",
    "ModelLoadingError",
    "ModelNotFoundError",
    "ModelState",
    "ModelStatus",
    "NotExposedError",
    "Picture",
    "PictureFileError",
    "PictureProgress",
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
