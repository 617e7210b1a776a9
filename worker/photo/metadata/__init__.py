"""Metadata that several formats carry: EXIF, ICC, XMP."""
