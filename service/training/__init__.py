"""Plain PyTorch: data, networks, losses, optimizers and the loop. No HTTP, no database, no settings."""
