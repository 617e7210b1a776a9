"""What S3 keeps of a submission: its request, manifest pages, outcomes, progress."""
