"""The instruction mixture: triplets of images, an instruction and its answer."""
