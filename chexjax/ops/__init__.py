"""Numerical building blocks: attention over KV chains, rotary embedding, token log-probs."""
