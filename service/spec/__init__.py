"""The job spec: frozen models with torch's names; no torch, no HTTP, no database."""
