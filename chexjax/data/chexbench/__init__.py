"""CheXbench: its official file, and its tasks made of phantoms and of Open-I."""
