"""`python -m nenrin`: the command line of an uninstalled checkout."""

from nenrin.cli import main

raise SystemExit(main())
