"""Certificates of one network, from its parameters and data."""
