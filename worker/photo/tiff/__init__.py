"""TIFF: pages read one by one, and written strip by strip."""

from photochrom.worker.photo.tiff.read import needs_big, notes, pages
from photochrom.worker.photo.tiff.tags import has_associated_alpha
from photochrom.worker.photo.tiff.write import write_pages

__all__ = ["has_associated_alpha", "needs_big", "notes", "pages", "write_pages"]
