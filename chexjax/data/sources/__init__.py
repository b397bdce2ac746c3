"""Where studies come from: a file or a few for each source, and the registry that names them."""
