"""Studies with people who read: their pages, and what they said."""
