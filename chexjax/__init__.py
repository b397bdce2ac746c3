"""chexjax: align chest X-ray report generators with radiologists' reports, in JAX."""
