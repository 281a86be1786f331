"""``python -m zoo_client`` is the command ``zoo``."""

from zoo_client.cli.main import main

if __name__ == "__main__":
    main()
