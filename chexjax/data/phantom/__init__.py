"""A source that needs no download: phantoms, and the radiologist who writes about them."""
