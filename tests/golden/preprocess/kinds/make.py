"""Makes small pictures of every kind in this folder and, in expected.safetensors, what
`Image.open(x).convert("RGB")` of Pillow 13 makes of them; 16-bit grey is shifted right by
8 instead, and oriented ones go through ImageOps.exif_transpose. Needs Pillow and numpy."""

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from safetensors.numpy import save_file

HERE = Path(__file__).parent
W, H = 29, 19


def picture(channels, seed, levels=256):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:H, 0:W]
    planes = [0.5 + 0.45 * np.sin(x / (3 + c) + seed) * np.cos(y / (4 - c)) for c in range(channels)]
    image = np.stack(planes, -1) * (levels - 1) + rng.normal(0, levels / 60, (H, W, channels))
    return np.clip(image, 0, levels - 1).astype(np.uint16 if levels > 256 else np.uint8)


def png16(path, pixels, colour_type):
    """Pillow writes no 16-bit colour."""
    h, w, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", w, h, 16, colour_type, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    )


def tiff(path, pixels, order="<", planes=False, strips=1, extra=()):
    """Pillow writes no 16-bit colour, no planes and one byte order."""
    h, w, c = pixels.shape
    step = -(-h // strips)
    bands = [pixels[..., i : i + 1] for i in range(c)] if planes else [pixels]
    dtype = np.dtype(f"{order}u{pixels.dtype.itemsize}")
    parts = [band[y : y + step].astype(dtype).tobytes() for band in bands for y in range(0, h, step)]
    offsets = np.cumsum([8] + [len(part) for part in parts])
    tags = {
        256: [w], 257: [h], 258: [8 * pixels.dtype.itemsize] * c, 259: [1], 262: [2 if c >= 3 else 1],
        273: list(offsets[:-1]), 277: [c], 278: [step], 279: [len(part) for part in parts], 284: [2 if planes else 1],
    }
    if extra:
        tags[338] = list(extra)
    at = int(offsets[-1])
    tail, entries = b"", b""
    for tag, values in sorted(tags.items()):
        data = np.array(values, f"{order}u4").tobytes()
        if len(values) > 1:
            place = at + 2 + 12 * len(tags) + 4 + len(tail)
            tail += data
            data = struct.pack(order + "I", place)
        entries += struct.pack(order + "HHI", tag, 4, len(values)) + data
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, at)
    directory = struct.pack(order + "H", len(tags)) + entries + struct.pack(order + "I", 0)
    path.write_bytes(head + b"".join(parts) + directory + tail)


def main():
    def save(name, image, **options):
        image.save(HERE / name, **options)

    colour = Image.fromarray(picture(3, 1))
    save("l.png", Image.fromarray(picture(1, 2)[..., 0]))
    save("la.png", Image.fromarray(picture(2, 3), "LA"))
    save("rgba.png", Image.fromarray(picture(4, 4), "RGBA"))
    save("one_bit.png", Image.fromarray(picture(1, 5)[..., 0]).convert("1"))
    save("four_grey.png", Image.fromarray(picture(1, 6)[..., 0] & 0xF0), bits=4)
    save("palette.png", colour.quantize(37))
    save("palette_two_bits.png", colour.quantize(4), bits=2)
    transparent = colour.quantize(20)
    save("palette_transparent.png", transparent, transparency=bytes(range(0, 200, 10)))
    save("rgb_transparent.png", colour, transparency=colour.getpixel((3, 3)))
    png16(HERE / "l16.png", picture(1, 7, 65536), 0)
    png16(HERE / "la16.png", picture(2, 8, 65536), 4)
    png16(HERE / "rgb16.png", picture(3, 9, 65536), 2)
    png16(HERE / "rgba16.png", picture(4, 10, 65536), 6)

    save("baseline_420.jpg", colour, quality=80, subsampling=2)
    save("progressive.jpg", colour, quality=85, subsampling=1, progressive=True)
    save("grey.jpg", Image.fromarray(picture(1, 11)[..., 0]), quality=85)
    save("rgb_space.jpg", colour, quality=90, keep_rgb=True)
    save("cmyk.jpg", Image.fromarray(picture(4, 12), "CMYK"), quality=90)
    ycck()
    for value in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = value
        save(f"orientation_{value}.jpg", colour, quality=90, exif=exif)
    exif = Image.Exif()
    exif[0x0112] = 6
    save("orientation.png", colour, exif=exif)
    save("orientation.webp", colour, exif=exif, lossless=True)

    save("lossless.webp", Image.fromarray(picture(4, 13), "RGBA"), lossless=True, exact=True)
    save("lossy.webp", colour, quality=80)
    save("colour.bmp", colour)
    save("palette.bmp", colour.quantize(200))
    save("palette.gif", colour.quantize(64))
    frames = [colour.quantize(16), Image.fromarray(picture(3, 14)).quantize(16)]
    save("animated.gif", frames[0], save_all=True, append_images=frames[1:], transparency=3)

    save("animated.webp", frames[0].convert("RGB"), save_all=True, append_images=[frames[1].convert("RGB")], lossless=True)
    save("animated.png", colour, save_all=True, append_images=[Image.fromarray(picture(3, 14))], duration=100)
    save("cmyk_orientation_8.jpg", Image.fromarray(picture(4, 12), "CMYK"), quality=80, exif=exif_of(8))

    save("restarts.jpg", colour, quality=85, subsampling=2, restart_marker_blocks=1)

    save("grey.tif", Image.fromarray(picture(1, 15)[..., 0]))
    save("grey16.tif", Image.fromarray(picture(1, 16, 65536)[..., 0]))
    save("lzw.tif", colour, compression="tiff_lzw")
    save("deflate_predictor.tif", colour, compression="tiff_adobe_deflate", tiffinfo={317: 2})
    save("packbits.tif", colour, compression="packbits")
    save("alpha.tiff", Image.fromarray(picture(4, 17), "RGBA"))
    tiff(HERE / "premultiplied.tif", np.array(Image.fromarray(picture(4, 18), "RGBA").convert("RGBa")), extra=[1])
    save("cmyk.tif", Image.fromarray(picture(4, 19), "CMYK"))
    save("orientation.tif", colour, tiffinfo={274: 6})
    tiff(HERE / "rgb16.tif", picture(3, 20, 65536), strips=3)
    tiff(HERE / "rgb16_big_endian.tif", picture(3, 21, 65536), order=">")
    tiff(HERE / "planes.tif", picture(3, 22), planes=True, strips=2)
    tiff(HERE / "alpha16.tif", picture(4, 23, 65536), extra=[2])

    expected = {}
    for path in sorted(HERE.iterdir()):
        if path.suffix in (".png", ".jpg", ".webp", ".bmp", ".gif", ".tif", ".tiff"):
            image = Image.open(path)
            if image.mode == "I;16":
                grey = (np.array(image) >> 8).astype(np.uint8)
                expected[path.name] = np.stack([grey] * 3, -1)
            else:
                expected[path.name] = np.ascontiguousarray(ImageOps.exif_transpose(image).convert("RGB"))
    save_file(expected, HERE / "expected.safetensors")


def exif_of(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def ycck():
    """Pillow writes CMYK only as such: the same scan with Adobe's marker for YCCK is one."""
    data = (HERE / "cmyk.jpg").read_bytes()
    at = data.find(b"Adobe\0")
    assert at > 0
    changed = bytearray(data)
    changed[at + 11] = 2
    (HERE / "ycck.jpg").write_bytes(changed)
    assert Image.open(HERE / "ycck.jpg").mode == "CMYK"


main()
