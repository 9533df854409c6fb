"""Writes MATLAB files as the data sets publish them, tiny: with scipy those of version 5
(Flowers-102, ImageNet's development kit, NYU's split), with h5py NYU Depth v2's of version
7.3, after MATLAB's user block."""

from pathlib import Path

import h5py
import numpy as np
from scipy.io import savemat

HERE = Path(__file__).parent
# Images, width and height as NYU's file has them: columns first.
N, W, H = 5, 12, 10


def pixels(n, c, x, y):
    return (n * 50 + c * 20 + x * 3 + y * 5) % 256


def main():
    labels = np.array([[3, 1, 2, 2, 3, 1]], dtype=np.uint8)
    savemat(HERE / "imagelabels.mat", {"labels": labels}, do_compression=True)
    parts = {"trnid": [[1, 3]], "valid": [[5]], "tstid": [[2, 4, 6]]}
    savemat(HERE / "setid.mat", {k: np.array(v, dtype=np.uint16) for k, v in parts.items()})

    rows = [(1, "n02119789", "kit fox"), (2, "n02100735", "English setter"), (3, "n01440764", "tench")]
    dtype = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("children", "O")]
    synsets = np.zeros((len(rows), 1), dtype=dtype)
    for row, (number, synset, words) in zip(synsets, rows):
        row[0] = (np.array([[number]], dtype=np.uint8), synset, words, np.zeros((0, 0)))
    savemat(HERE / "meta.mat", {"synsets": synsets}, do_compression=True)

    split = {"trainNdxs": np.array([[1], [4], [5]]), "testNdxs": np.array([[2], [3]])}
    savemat(HERE / "splits.mat", split)
    n, c, x, y = np.ix_(range(N), range(3), range(W), range(H))
    with h5py.File(HERE / "nyu_depth_v2_labeled.mat", "w", userblock_size=512) as file:
        images = pixels(n, c, x, y).astype(np.uint8)
        file.create_dataset("images", data=images, chunks=(1, 3, W, H // 2), compression="gzip")
        n, x, y = np.ix_(range(N), range(W), range(H))
        depths = (1 + n + x / 100 + y / 1000).astype(np.float32)
        depths[0, 0, 0] = np.nan
        file.create_dataset("depths", data=depths, chunks=(2, W // 2, H), compression="gzip", shuffle=True)
    with open(HERE / "nyu_depth_v2_labeled.mat", "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\x02IM")


main()
