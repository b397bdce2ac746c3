"""`plan`: what steps and bulk work of a config would need on machines that are not here."""
