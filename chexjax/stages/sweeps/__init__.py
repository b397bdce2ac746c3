"""Many runs in one workdir: what they share, how they compare, and what they say to claims."""
