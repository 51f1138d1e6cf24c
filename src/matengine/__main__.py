"""`python -m matengine` is the command `matengine`."""

import sys

from matengine.cli import main

sys.exit(main())
