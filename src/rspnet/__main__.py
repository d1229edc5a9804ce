"""`python -m rspnet` is the command `rspnet`."""

import sys

from rspnet.cli import main

sys.exit(main())
