/** Files that the page gives: pictures and adapters. */

import { element } from "./dom.js";

/** Side of a panel in a saved picture, what is around it, the heads and the scale, in pixels. */
const [SIDE, GAP, LEAD, HEAD, SCALE, BAR] = [512, 16, 64, 34, 34, 12];

/** Gives a file to the user. */
export function download(blob, name) {
    const url = URL.createObjectURL(blob);
    element("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/**
 * Words by line, and below them the panels side by side, each with its name, the marked
 * patch and the scale of its colours, as PNG.
 *
 * @param {string[]} lines
 * @param {import("./panels.js").Pictured[]} panels
 * @returns {Promise<Blob>}
 */
export async function sheet(lines, panels) {
    const tallest = Math.max(...panels.map(({ source: { width, height } }) => (SIDE * height) / Math.max(width, height)));
    const canvas = element("canvas", {
        width: panels.length * (SIDE + GAP) + GAP,
        height: LEAD + HEAD + Math.ceil(tallest) + SCALE + GAP,
    });
    const context = canvas.getContext("2d");
    context.fillStyle = "#fff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.fillStyle = "#111";
    context.font = "18px system-ui, sans-serif";
    context.textBaseline = "middle";
    context.imageSmoothingEnabled = false;
    lines.forEach((line, at) => context.fillText(line, GAP, 20 + 24 * at, canvas.width - 2 * GAP));
    panels.forEach((panel, at) => drawPanel(context, panel, GAP + at * (SIDE + GAP)));
    return new Promise((resolve, reject) => {
        const given = (blob) => (blob ? resolve(blob) : reject(new Error("the picture could not be made")));
        canvas.toBlob(given, "image/png");
    });
}

function drawPanel(context, { title, source, mark, scale }, left) {
    const top = LEAD + HEAD;
    const zoom = SIDE / Math.max(source.width, source.height);
    const [width, height] = [source.width * zoom, source.height * zoom];
    context.fillText(title, left, LEAD + HEAD / 2 + 2, SIDE);
    context.drawImage(source, left, top, width, height);
    if (mark) {
        drawCross(context, left + mark[0] * width, top + mark[1] * height);
    }
    if (scale) {
        const [words, below] = [context.measureText(scale.low).width + 8, top + height + SCALE / 2];
        const length = width - words - context.measureText(scale.high).width - 8;
        context.fillText(scale.low, left, below);
        context.drawImage(scale.canvas, left + words, below - BAR / 2, length, BAR);
        context.fillText(scale.high, left + words + length + 8, below);
    }
}

/** White on black, to be seen on every colour. */
function drawCross(context, x, y) {
    for (const [colour, width] of [["#000", 6], ["#fff", 3]]) {
        context.strokeStyle = colour;
        context.lineWidth = width;
        context.beginPath();
        for (const way of [-1, 1]) {
            context.moveTo(x - 9, y - 9 * way);
            context.lineTo(x + 9, y + 9 * way);
        }
        context.stroke();
    }
}
