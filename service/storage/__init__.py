"""Files beside the database that its rows name: written whole or not at all, and checked when they are read."""
