"""`python -m fitd_client.cli` is `fitctl`."""

from fitd_client.cli import run

if __name__ == "__main__":
    run()
