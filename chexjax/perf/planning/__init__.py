"""Steps and bulk work compiled for machines that are not here, and what they come to there."""
