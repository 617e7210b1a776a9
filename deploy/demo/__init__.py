"""`photochrom demo` and `photochrom demo-training`, with their pages."""
