"""Every setting, typed, read once from the environment (`PHOTOCHROM_*`).

Beside them, `queue/app.py` and `telemetry/exporter.py` read where a process says that it is ready, and where its
children add up their counters: those are places that whoever starts it makes for it, and settings of no work.

Where there is a folder /run/secrets, as in containers, or one that CREDENTIALS_DIRECTORY names, as systemd has it, a
setting may also be a file there, such as photochrom_redis_url; what the environment says goes before it. S3
credentials are not settings of ours: boto3 finds them where it always does (environment, files, instance role).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, PositiveFloat, PositiveInt, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from photochrom.worker.errors import UsageError
from photochrom.worker.formats import COMPOSITE, JpegProfile
from photochrom.worker.machine import machine
from photochrom.worker.setting_names import check_names

PREFIX = "PHOTOCHROM_"
SECRETS = Path(os.environ.get("CREDENTIALS_DIRECTORY") or "/run/secrets")
MEBIBYTE = 2**20

Pool = Literal["auto", "prefork", "threads"]

Prefixes = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """The table of settings in the README is made from these fields: name, default, description."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        extra="ignore",
        frozen=True,
        secrets_dir=SECRETS if SECRETS.is_dir() else None,
        hide_input_in_errors=True,  # tracebacks show errors of others, too
    )

    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="broker and ledger; / ? # @ : % in a password as %2F and so on",
    )
    s3_endpoint: str | None = Field(None, description="URL of an S3 server other than AWS")
    s3_region: str = Field("us-east-1", description="region of the buckets")
    s3_timeout: PositiveFloat = Field(30.0, description="seconds without an answer before a call counts as failed")
    s3_attempts: PositiveInt = Field(5, description="tries of one S3 call, with backoff, within the worker")
    s3_slowest: PositiveInt = Field(
        65_536, description="bytes a second: a call that is slower, S3_TIMEOUT and its size reckoned, counts as failed"
    )
    refused_attempts: PositiveInt = Field(
        8, description="deliveries before an image that S3 refuses alone, for an unknown reason, is quarantined"
    )
    state_bucket: str = Field("photochrom-state", description="bucket for submissions, outcomes and models")

    read_from: Prefixes = Field((), description="what a worker may read: s3://bucket/prefix, separated by commas")
    write_to: Prefixes = Field((), description="what a worker may write: s3://bucket/prefix, separated by commas")

    model: str = Field("champion", description="model of submissions that name none, where they are made")
    jpeg_profile: JpegProfile = Field("archive", description="how gray JPEG is coloured: archive, compatible, reencode")
    jpeg_quality: int = Field(95, ge=1, le=100, description="quality of JPEG that has to be encoded anew")
    chroma_quality: int = Field(90, ge=1, le=100, description="quality of the colour that is spliced into a JPEG")
    digital_source_type: str = Field(
        COMPOSITE, description="IPTC's word in the results' XMP for what they are, as a full URI"
    )
    model_cache: Path = Field(Path("~/.cache/photochrom"), description="folder where fetched models are kept")
    model_interval: PositiveFloat = Field(10.0, description="seconds between two looks for a newly promoted model")
    max_pixels: PositiveInt = Field(300_000_000, description="larger pictures are quarantined before decoding")
    max_pages: PositiveInt = Field(1000, description="files of more pages are quarantined before decoding")
    max_segments: PositiveInt = Field(100_000, description="most segments, chunks or tags of a file's structure")
    max_bytes: PositiveInt = Field(2048 * MEBIBYTE, description="larger files are quarantined before download")

    job_images: int = Field(32, ge=1, le=32, description="most images in a job")
    job_bytes: PositiveInt = Field(64 * MEBIBYTE, description="most listed bytes in a job of several images")
    page_images: PositiveInt = Field(1000, description="images in a page of a submission's manifest")
    job_seconds: PositiveFloat = Field(60.0, description="seconds after which a worker gives back the rest of a job")
    drain_seconds: PositiveFloat = Field(
        100.0, description="seconds within which a worker that is told to stop has ended"
    )
    max_starts: PositiveInt = Field(3, description="starts without an outcome before an image is quarantined as poison")
    window: PositiveInt = Field(50_000, description="most images of a submission in flight")

    concurrency: PositiveInt = Field(
        default_factory=lambda: machine().cores, description="images in hand at once: processes, or threads of one"
    )
    pool: Pool = Field("auto", description="what these are: auto, prefork (processes) or threads (beside a GPU)")
    torch_threads: PositiveInt | None = Field(None, description="threads of a network on the CPU; by itself, as fits")
    s3_connections: PositiveInt | None = Field(None, description="connections that are kept to S3; by itself, as fits")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="what computes the network: auto, cpu or cuda")
    engine: Literal["auto", "torch", "openvino"] = Field(
        "torch", description="what computes the network on a processor: torch, openvino (an extra), auto (the faster)"
    )
    batch_images: PositiveInt = Field(16, description="most images in a batch of a GPU")
    batch_wait: PositiveFloat = Field(0.005, description="seconds that a batch of a GPU waits for more images")
    batch_pixels: PositiveInt = Field(
        4_000_000, description="most pixels in a batch of a GPU, of the small gray copies"
    )
    visibility_timeout: PositiveInt = Field(900, description="seconds after which an unfinished job is given out again")
    reconcile_interval: PositiveFloat = Field(10.0, description="seconds between two looks for what went missing")
    control_interval: PositiveFloat = Field(1.0, description="seconds between two looks of the control process")
    lock_seconds: PositiveFloat = Field(
        15.0, description="seconds for which the lock of a control process that was killed keeps others from its work"
    )

    training_source: str | None = Field(None, description="s3://bucket/prefix of the photographs that runs learn from")
    training_schedule: str = Field("", description="when a run starts, in cron's five fields, UTC; empty: never")
    training_recipe: str = Field("vgg16-yuv", description="recipe of the runs that the schedule starts")
    training_overrides: Annotated[dict[str, Any], NoDecode] = Field(
        {}, description='settings of that recipe in place of its own, as JSON: {"epochs": 4}'
    )
    training_start: str = Field(
        "champion", description="weights that runs start from: champion, a version, a starter, or encoder"
    )
    training_encoder: str = Field(
        "torchvision", description="VGG16 weights where runs start from encoder: torchvision (downloads) or a file"
    )
    training_evaluation: str = Field("", description="name of the evaluation set that judges what runs made")
    training_folder: Path = Field(
        Path("~/.cache/photochrom/training"), description="folder for photographs at working size and states of runs"
    )
    training_step_seconds: PositiveFloat = Field(180.0, description="seconds that one step of a run takes")
    training_save_steps: PositiveInt = Field(5, description="steps between two copies of a run's state in S3")
    gate_measure: Literal["ciede2000", "psnr"] = Field(
        "ciede2000", description="what a challenger has to be better by, with confidence: ciede2000 or psnr"
    )
    gate_confidence: float = Field(0.95, gt=0.5, lt=1, description="confidence of the interval that has to exclude 0")
    gate_psnr: float = Field(0.05, ge=0, description="dB that a challenger may lose")
    gate_ciede2000: float = Field(0.05, ge=0, description="CIEDE2000 that a challenger may lose")
    gate_colourfulness: float = Field(
        0.05, ge=0, description="by so much may a challenger's share of the true colourfulness be further from 1"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")
    log_format: Literal["people", "json"] = Field(
        "people", description="lines for people, or json: one object a line for machines"
    )
    heartbeat_file: Path | None = Field(
        None, description="file that is touched every 15 seconds while the process is alive"
    )
    metrics_port: int = Field(
        0, ge=0, le=65535, description="port on which Prometheus finds this process's metrics; 0: none"
    )

    @field_validator("read_from", "write_to", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("digital_source_type")
    @classmethod
    def _is_uri(cls, value: str) -> str:
        if not re.fullmatch(r"https?://[^\s<>\"]{1,200}", value):
            raise ValueError("it is not a full URI, such as those of IPTC's NewsCodes")
        return value

    @field_validator("training_overrides", mode="before")
    @classmethod
    def _decode(cls, value: object) -> object:
        try:
            return json.loads(value or "{}") if isinstance(value, str) else value
        except ValueError as error:
            raise ValueError(f"it is not JSON: {error}") from error

    @field_validator("training_source")
    @classmethod
    def _is_location(cls, value: str | None) -> str | None:
        if value and not re.match("s3://[^/]", value):
            raise ValueError(f"{value!r} is not s3://bucket/prefix")
        return value or None

    @field_validator("heartbeat_file", mode="before")
    @classmethod
    def _empty_is_no_file(cls, value: object) -> object:
        return value or None

    @field_validator("s3_endpoint")
    @classmethod
    def _empty_is_none(cls, value: str | None) -> str | None:
        if value and "@" in value:  # not told, and not taken: S3's libraries would tell it
            raise ValueError("it holds a user or a password: boto3 finds credentials elsewhere")
        if value and not re.match("https?://[^/]", value):
            raise ValueError(f"{value!r} is not http://host:port or https://host:port")
        return value or None  # a compose file can only set a variable to nothing

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: SecretStr) -> SecretStr:
        if not re.match("rediss?://", value.get_secret_value()):
            raise ValueError("it is not redis://host:port/database")  # without the value: it may hold a password
        if not _is_whole_url(value.get_secret_value()):
            raise ValueError(
                "its host, port or database cannot be read: write / ? # @ : % [ ] in a password as %2F %3F %23 %40 %3A "
                "%25 %5B %5D"
            )
        return value

    @field_validator("read_from", "write_to")
    @classmethod
    def _are_locations(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for location in value:
            if not re.match("s3://[^/]", location):
                raise ValueError(f"{location!r} is not s3://bucket/prefix")
        return value


def _is_whole_url(url: str) -> bool:
    """Whether a URL says what it seems to. Else a part of its password is taken for a host or a port, and told."""
    try:
        parts = urlsplit(url)
        behind = parts.path + parts.query + parts.fragment
        return parts.port != 0 and "@" not in behind and re.fullmatch("/?[0-9]*", parts.path) is not None
    except ValueError:
        return False


_adopted: list[Settings] = []


def adopt(chosen: Settings) -> None:
    """From now on these are the settings of this process, and of those that it forks: a command changed some."""
    _adopted[:] = [chosen]
    settings.cache_clear()


@cache
def settings() -> Settings:
    """The settings of this process. Raises UsageError, in one line, for a misspelt name or a wrong value."""
    if _adopted:
        return _adopted[0]
    check_names(_given_names(), [name.upper() for name in Settings.model_fields])
    try:
        return Settings()
    except ValidationError as error:
        problem = error.errors()[0]
        name = PREFIX + "_".join(map(str, problem["loc"])).upper()
        raise UsageError(f"setting {name}: {problem['msg']}") from error
    except SettingsError as error:  # a secret's file, most likely
        raise UsageError(f"{error} ({type(error.__cause__).__name__})") from error


def _given_names() -> Iterator[str]:
    """Of all settings in the environment and in the folder of secrets, without the prefix, in capitals."""
    secrets = Settings.model_config.get("secrets_dir")
    files = Path(str(secrets)).iterdir() if secrets else ()
    for name in [*os.environ, *(file.name for file in files)]:
        if name.upper().startswith(PREFIX):
            yield name.upper().removeprefix(PREFIX)
