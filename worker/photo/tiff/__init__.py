"""TIFF: pages read one by one, and written strip by strip."""

from worker.photo.tiff.read import needs_big, notes, pages
from worker.photo.tiff.write import write_pages

__all__ = ["needs_big", "notes", "pages", "write_pages"]
