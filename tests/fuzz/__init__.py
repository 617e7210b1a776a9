"""Thousands of malformed photographs, each of which has to end as a picture or as a fault of the image's own."""
