"""Every error of Photochrom, as one tree. What an error *is* decides what becomes of the image:

    PhotochromError
    |- UsageError            the caller asked for something that cannot be: told at once, nothing started
    |- RetryableError        the world's fault, and it may pass: tried again, nothing recorded
    |  |- CredentialsError   S3 cannot be asked: no credentials, expired ones, a profile that is missing
    |  `- RefusedError       S3 refuses a request for a reason that is not known
    |- ImageFault            this image's fault: quarantined with its reason, its neighbours go on
    `- WorkerFault           this worker's fault: the image is handed back untouched, nothing is quarantined
       |- AccessDeniedFault  S3 lets this worker's credentials not do it
       |- CheckpointError    a model that is missing, altered, or does not fit
       |  `- VersionGoneError  a version that is not, or no longer, in the state bucket
       |- DiskFullFault      there is no room for what an image needs
       `- OutOfMemoryFault   may be this worker's fault or this image's: the start counts towards poison

Foreign exceptions are translated where they enter: S3's in `s3/errors.py`, Redis's in `ledger/connection.py`, the
codecs' in `photo/`, safetensors' in `models/checkpoint.py`, the machine's own in `process/exhaustion.py`.
"""


class PhotochromError(Exception):
    """Base of all errors that Photochrom raises on purpose; its message is one clear line for people."""


class UsageError(PhotochromError):
    """The request cannot be carried out as it was made; the message says what to change."""


class RetryableError(PhotochromError):
    """A passing fault: throttling, a time-out, a lost connection, a 5xx answer."""


class CredentialsError(RetryableError):
    """S3 cannot be asked: no credentials, expired ones, a profile that is missing. A client made anew may do better."""


class RefusedError(RetryableError):
    """S3 refuses what is asked of `url`, s3://bucket/key, by a code that is not known: it may pass, or stay so."""

    def __init__(self, message: str, url: str = "") -> None:
        super().__init__(message)
        self.url = url


class ImageFault(PhotochromError):
    """This photograph cannot be coloured. `reason` is a stable word to count and filter by."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class WorkerFault(PhotochromError):
    """This worker cannot work: access denied, a missing bucket, a missing model, a broken installation."""


class AccessDeniedFault(WorkerFault):
    """S3 does not let these credentials do it: for one object that may be the object's own doing."""


class CheckpointError(WorkerFault):
    """A checkpoint that is missing, altered, or does not fit the architecture its card names."""


class VersionGoneError(CheckpointError):
    """There is no such version in the state bucket: no worker can serve it."""


class DiskFullFault(WorkerFault):
    """There is no room on this worker's disk. What one image needs of it is bounded: the image is not to blame."""


class OutOfMemoryFault(WorkerFault):
    """There was not enough memory for an image. Whose fault that is shows when it is tried elsewhere."""
