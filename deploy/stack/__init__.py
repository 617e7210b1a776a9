"""A whole Photochrom on this machine: embedded Redis and S3, and the processes."""
