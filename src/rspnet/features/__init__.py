"""From videos to vectors, and what vectors say: embedder, neighbours, linear probe, scores, RoI maps."""
