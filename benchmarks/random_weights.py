"""Write seeded random weights and images for a network of the benchmarks.

    python benchmarks/random_weights.py --net resnet50 -o FOLDER

FOLDER then holds ``resnet50.pt`` and ``calibration.npz``, as ``specs/examples/resnet50_random.hawq``
wants them: ``hawqc build specs/examples/resnet50_random.hawq --set data=FOLDER``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from nets import NETS


def main() -> None:
    """Read the command line and write the files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--net", choices=sorted(NETS), required=True)
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    NETS[options.net].write_files(options.out, options.images, options.seed)
    print(f"wrote {options.out}/{options.net}.pt and {options.out}/calibration.npz")


if __name__ == "__main__":
    main()
