"""Shaking the real service on both databases, and telling which promises held."""
