"""From a job to the outcomes of its images: fetch, colorize, store."""
