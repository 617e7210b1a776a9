"""The version of this installation, as cards and provenance record it."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("photochrom")
except PackageNotFoundError:  # run from a source tree that was never installed
    VERSION = "0+source"
