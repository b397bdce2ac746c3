"""Throughput on this machine, beside peers on the same work."""
