"""The same work done by other software, each where it is installed."""
