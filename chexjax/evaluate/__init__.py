"""Held-out evaluation: numbers with their intervals, and a page to read them on."""
