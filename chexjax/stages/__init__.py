"""One thin module per command: read config, wire the parts, write the artefact."""
