"""Every error of Photochrom, as one tree. What an error *is* decides what becomes of the image:

    PhotochromError
    |- UsageError            the caller asked for something that cannot be: told at once, nothing started
    |- RetryableError        the world's fault, and it may pass: tried again, nothing recorded
    |- ImageFault            this image's fault: quarantined with its reason, its neighbours go on
    `- WorkerFault           this worker's fault: the image is handed back untouched, nothing is quarantined
       |- AccessDeniedFault  S3 lets this worker's credentials not do it
       |- RefusedFault       S3 refuses a request as such
       |- CheckpointError    a model that is missing, altered, or does not fit
       |  `- VersionGoneError  a version that is not, or no longer, in the state bucket
       |- DiskFullFault      there is no room for what an image needs
       `- OutOfMemoryFault   may be this worker's fault or this image's: the start counts towards poison

Foreign exceptions are translated where they enter: S3's in `store.py`, Redis's in `connection.py`, the codecs' in
`photo/`, safetensors' in `models/checkpoint.py`, the machine's own in `shortage.py`.
"""


class PhotochromError(Exception):
    """Base of all errors that Photochrom raises on purpose; its message is one clear line for people."""


class UsageError(PhotochromError):
    """The request cannot be carried out as it was made; the message says what to change."""


class RetryableError(PhotochromError):
    """A passing fault: throttling, a time-out, a lost connection, a 5xx answer."""


class ImageFault(PhotochromError):
    """This photograph cannot be coloured. `reason` is a stable word to count and filter by."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class WorkerFault(PhotochromError):
    """This worker cannot work: access denied, a missing bucket, a missing model, a broken installation."""


class AccessDeniedFault(WorkerFault):
    """S3 does not let these credentials do it: for one object that may be the object's own doing."""


class RefusedFault(WorkerFault):
    """S3 refuses a request as such: for one object that may be the doing of its name."""


class CheckpointError(WorkerFault):
    """A checkpoint that is missing, altered, or does not fit the architecture its card names."""


class VersionGoneError(CheckpointError):
    """There is no such version in the state bucket: no worker can serve it."""


class DiskFullFault(WorkerFault):
    """There is no room on this worker's disk. What one image needs of it is bounded: the image is not to blame."""


class OutOfMemoryFault(WorkerFault):
    """There was not enough memory for an image. Whose fault that is shows when it is tried elsewhere."""
