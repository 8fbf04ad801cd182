"""`python -m siamese_lab` is `siamese-lab`."""

import sys

from siamese_lab.cli import main

if __name__ == "__main__":
    sys.exit(main())
