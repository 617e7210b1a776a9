"""Photographs for the tests: every kind of JPEG, PNG and TIFF that an archive may hold, made byte by byte."""
