/** Encoded images to pixels, in the worker. */

/** Side of a thumbnail in pixels. */
const THUMBNAIL = 96;

/**
 * Decodes a file upright, with its pixels as they are stored.
 *
 * @param {Blob} blob
 * @param {(bytes: Uint8Array) => {width: number, height: number}} sizeOf throws for
 *     what should not be decoded
 */
export async function decode(blob, sizeOf) {
    sizeOf(new Uint8Array(await blob.slice(0, 4 << 20).arrayBuffer()));
    let bitmap;
    try {
        bitmap = await createImageBitmap(blob, {
            colorSpaceConversion: "none",
            premultiplyAlpha: "none",
            imageOrientation: "from-image",
        });
    } catch {
        throw new Error("the image is damaged or of a format that this browser does not read");
    }
    const { width, height } = bitmap;
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    return context.getImageData(0, 0, width, height);
}

/** A small picture of an image, its shorter side cropped. */
export async function thumbnail({ data, width, height }) {
    const side = Math.min(width, height);
    const pixels = data instanceof Uint8ClampedArray ? data : new Uint8ClampedArray(data);
    return createImageBitmap(
        new ImageData(pixels, width, height),
        Math.floor((width - side) / 2),
        Math.floor((height - side) / 2),
        side,
        side,
        { resizeWidth: THUMBNAIL, resizeHeight: THUMBNAIL, resizeQuality: "medium" },
    );
}
