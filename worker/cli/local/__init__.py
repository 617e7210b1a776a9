"""Photographs of this machine's disk, colorized into a folder without queue or S3."""
