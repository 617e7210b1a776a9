"""Whether a coloured file has all that its original had: a second implementation, which shares nothing with the writer.

Other decoders (libtiff, OpenCV, libjpeg's planes), a marker scan and tag readers of its own. Nothing in here may import
from `photochrom.worker.photo`: a mistake made there must not be made here again.
"""

from photochrom.worker.verify.compare import verify
from photochrom.worker.verify.finding import Finding

__all__ = ["Finding", "verify"]
