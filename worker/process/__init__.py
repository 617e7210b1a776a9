"""What every process of Photochrom does: it shuts down, keeps scratch files, runs out of memory."""
