#!/usr/bin/env python3
"""Django's commands from a checkout; `python -m zoo_server` does the same for an installed server."""

from zoo_server.__main__ import main

if __name__ == "__main__":
    main()
