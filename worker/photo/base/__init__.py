"""What all formats share: pixels, luma, colour space, limits, options."""
