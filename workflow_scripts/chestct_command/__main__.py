"""``python -m chestct_command``: the same as ``chestct``."""

import sys

from chestct_command.main import main

sys.exit(main())
