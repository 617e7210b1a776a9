"""The seam where what comes out of boto3, of the network or of the disk while S3 is asked becomes an error of ours.

Nothing foreign passes it but a shortage of memory or disk, which `exhaustion.py` translates: what fails while S3 is
asked
says nothing about the photograph.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigNotFound,
    ConfigParseError,
    CredentialRetrievalError,
    HTTPClientError,
    InvalidConfigError,
    LoginError,
    MetadataRetrievalError,
    NoAuthTokenError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    RefreshWithMFAUnsupportedError,
    SSOError,
    TokenRetrievalError,
    UnknownCredentialError,
)
from botocore.retries.standard import ThrottledRetryableChecker, TransientRetryableChecker

from photochrom.worker.errors import (
    AccessDeniedFault,
    CredentialsError,
    ImageFault,
    PhotochromError,
    RefusedError,
    RetryableError,
    UsageError,
    WorkerFault,
)
from photochrom.worker.process.exhaustion import NO_ROOM

CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    TokenRetrievalError,
    NoAuthTokenError,
    SSOError,
    LoginError,
    MetadataRetrievalError,
    ProfileNotFound,
    ConfigParseError,
    ConfigNotFound,
    InvalidConfigError,
    UnknownCredentialError,
    RefreshWithMFAUnsupportedError,
)
"""What botocore raises where it looks for credentials, and does not get any."""

PREFIX_OF_CREDENTIALS = ("AssumeRole", "GetRoleCredentials", "GetSessionToken", "CreateToken", "CreateOAuth2Token")
"""How the names of those calls begin by which botocore gets credentials from other services than S3."""

ABSENT = ("404", "NoSuchKey", "NotFound")
OF_ROLE = ("WebIdentityToken", "RoleArn", "RoleSessionName", "SerialNumber", "TokenCode", "ExternalId", "accountId")
"""What is wrong of these was not asked of S3: a token's file that is empty while it is written anew, say."""

BARE_404, HEAD = "404", "HeadObject"
"""botocore's code where the answer has none. S3 leaves it out only of what has no body: the answer to a HEAD. From
anybody else, as a proxy whose server is away, it does not say that an object is not there.
"""

CONFLICT = ("409", "412", "ConditionalRequestConflict", "PreconditionFailed")
EXISTS = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")
EXPIRED = ("ExpiredToken", "TokenRefreshRequired", "InvalidToken", "RequestExpired", "RequestTimeTooSkewed")
DENIED = (
    "",
    "401",
    "403",
    "AccessDenied",
    "AccountProblem",
    "AllAccessDisabled",
    "Forbidden",
    "InvalidAccessKeyId",
    "InvalidSecurity",
    "NotSignedUp",
    "SignatureDoesNotMatch",
    "Unauthorized",
    "UserSuspended",
)
"""Codes that say so; none, or the bare status, is all that the answer to a HEAD has."""

OF_KMS = "KMS."
"""What S3 sets before the codes of another service, which it asks for keys."""
NO_BUCKET = ("NoSuchBucket",)
ARCHIVED = ("InvalidObjectState",)

MOST_SHOWN = 200
"""Characters of what botocore says: it may have read them from the output of a program."""

PASSING = frozenset(
    (
        *ThrottledRetryableChecker._THROTTLED_ERROR_CODES,  # botocore's own list has no public name
        *TransientRetryableChecker._TRANSIENT_ERROR_CODES,
        "BadDigest",
        "IncompleteBody",
        "InternalError",
        "NoSuchUpload",
        "OperationAborted",
        "RequestThrottledException",
        "ServiceUnavailable",
        "SlowDownRead",
        "SlowDownWrite",
        "TooManyRequests",
        "XAmzContentSHA256Mismatch",
    )
)
"""Codes of faults that pass, with whatever status they come: S3's relatives send throttling as 400, too."""


class NotFoundError(PhotochromError):
    """There is no such object; the caller knows what that means."""


class ConflictError(PhotochromError):
    """A conditional write lost: somebody else wrote first."""


@contextmanager
def s3_translated(what: str) -> Iterator[None]:
    """Turn every exception into one of ours. Messages name the object, never a credential.

    MemoryError, and an OSError for a disk that is full, pass as they are.
    """
    try:
        yield
    except (PhotochromError, MemoryError):
        raise
    except ClientError as error:
        raise _of_answer(error, what) from error
    except ParamValidationError as error:
        if any(name in str(error) for name in OF_ROLE):
            raise CredentialsError(f"no S3 credentials: {_one_line(error)}") from error
        raise UsageError(f"{what} is no valid S3 name: {_one_line(error)}") from error
    except CREDENTIALS as error:
        raise CredentialsError(f"no S3 credentials: {_one_line(error)}") from error
    except HTTPClientError as error:
        raise RetryableError(f"S3 cannot be reached for {what}: {type(error).__name__}") from error
    except BotoCoreError as error:
        raise RetryableError(f"S3 failed for {what}: {_one_line(error)}") from error
    except RuntimeError as error:  # what botocore raises for credentials that came back and had expired
        raise CredentialsError(f"no S3 credentials: {_one_line(error)}") from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise
        # A program that is to give credentials and does not start, or says what is no JSON, comes as anything; so does
        # an answer that is no S3's. The text of it may hold what was read: only its kind is shown.
        raise CredentialsError(f"S3 cannot be asked for {what}: {type(error).__name__}") from error


def _of_answer(error: ClientError, what: str) -> PhotochromError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if error.operation_name.startswith(PREFIX_OF_CREDENTIALS):
        return CredentialsError(f"no S3 credentials: {error.operation_name} is answered {status} {code}")
    if code == BARE_404 and error.operation_name != HEAD:
        return RefusedError(f"something answers {status} for {what}, and is no S3: its answer names no code", what)
    return by_code(code, status, what)


def by_code(code: str, status: int, what: str) -> PhotochromError:
    """The error that an answer of S3 stands for; `what` is the object's URL."""
    if code in NO_BUCKET:
        return WorkerFault(f"there is no bucket for {what}")
    if code in ABSENT:
        return NotFoundError(f"{what} is not there")
    if code in CONFLICT or status == 412 or code in EXISTS:
        return ConflictError(f"{what} was written by somebody else")
    if code in ARCHIVED:
        return ImageFault("archived", f"{what} lies in an archive's storage class: restore it first")
    if code in EXPIRED:
        return CredentialsError(f"S3 takes these credentials no more ({code}), asked for {what}")
    if code.removeprefix(OF_KMS) in PASSING or status in (408, 429):
        return RetryableError(f"S3 answered {status} {code} for {what}")
    if code in DENIED and (code or status in (401, 403)):
        return AccessDeniedFault(f"S3 denies access to {what} ({code})")
    if 400 <= status < 500:
        return RefusedError(f"S3 refuses the request for {what}: {status} {code}", what)
    return RetryableError(f"S3 answered {status} {code} for {what}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:MOST_SHOWN]
