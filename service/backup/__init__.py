"""Backup and restore: everything that a service keeps, in a folder that any database can be made from again."""
