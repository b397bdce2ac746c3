"""What work costs, counted before it is done."""
