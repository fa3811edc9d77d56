"""`python -m anywire` is `anywire`."""

from anywire.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
