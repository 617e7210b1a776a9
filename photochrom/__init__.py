"""Photochrom colorizes archives of grayscale photographs: S3 in, Celery workers, S3 out."""
