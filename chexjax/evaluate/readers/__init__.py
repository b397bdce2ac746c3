"""Studies with human readers: two reports side by side, and drafts that are edited."""
