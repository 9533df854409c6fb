/** Files that the page gives: pictures and adapters. */

import { element } from "./dom.js";

/** Side of a panel in a saved picture, and what is around it, in pixels. */
const [SIDE, GAP, HEAD] = [512, 16, 34];

/** Gives a file to the user. */
export function download(blob, name) {
    const url = URL.createObjectURL(blob);
    element("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/**
 * The panels side by side with their names, as PNG.
 *
 * @param {{title: string, source: CanvasImageSource & {width: number, height: number}}[]} panels
 * @returns {Promise<Blob>}
 */
export async function sheet(panels) {
    const canvas = element("canvas", {
        width: panels.length * (SIDE + GAP) + GAP,
        height: HEAD + SIDE + GAP,
    });
    const context = canvas.getContext("2d");
    context.fillStyle = "#fff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.fillStyle = "#111";
    context.font = "18px system-ui, sans-serif";
    context.textBaseline = "middle";
    context.imageSmoothingEnabled = false;
    panels.forEach(({ title, source }, at) => {
        const left = GAP + at * (SIDE + GAP);
        const scale = SIDE / Math.max(source.width, source.height);
        context.fillText(title, left, HEAD / 2 + 2, SIDE);
        context.drawImage(source, left, HEAD, source.width * scale, source.height * scale);
    });
    return new Promise((resolve, reject) => {
        const given = (blob) => (blob ? resolve(blob) : reject(new Error("the picture could not be made")));
        canvas.toBlob(given, "image/png");
    });
}
