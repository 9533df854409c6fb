/** The histogram of norms and the curve of losses, as SVG. */

import { svg } from "./dom.js";

const [WIDTH, HEIGHT, FOOT] = [300, 130, 16];
const BINS = 40;

/**
 * Distributions of patch norms over the median of their own map, on one axis, with the
 * factor above which a patch is an outlier.
 *
 * @param {HTMLElement} place
 * @param {Record<string, {norms: Float32Array, median: number, ratio: number} | null>} maps
 * @param {number} factor
 */
export function histogram(place, maps, factor) {
    const shown = ["teacher", "refined", "student"].filter((panel) => maps[panel]);
    const high = Math.max(...shown.map((panel) => maps[panel].ratio), factor);
    const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}` });
    for (const panel of shown) {
        const counts = new Array(BINS).fill(0);
        const { norms, median } = maps[panel];
        for (const norm of norms) {
            counts[Math.min(BINS - 1, Math.floor((norm / (median || 1) / high) * BINS))] += 1;
        }
        // Few patches are outliers: the root keeps them to be seen.
        const most = Math.sqrt(Math.max(...counts));
        const bar = (count, bin) => {
            const top = HEIGHT - FOOT - (Math.sqrt(count) / most) * (HEIGHT - FOOT - 8);
            return `L${(bin * WIDTH) / BINS} ${top}L${((bin + 1) * WIDTH) / BINS} ${top}`;
        };
        const floor = HEIGHT - FOOT;
        const path = `M0 ${floor}${counts.map(bar).join("")}L${WIDTH} ${floor}`;
        picture.append(svg("path", { class: `bars ${panel}`, d: path }));
    }
    const at = (factor / high) * WIDTH;
    picture.append(
        svg("line", { class: "threshold", x1: at, x2: at, y1: 0, y2: HEIGHT - FOOT }),
        svg("line", { class: "axis", x1: 0, x2: WIDTH, y1: HEIGHT - FOOT, y2: HEIGHT - FOOT }),
    );
    const words = (x, anchor, text) => svg("text", { x, y: HEIGHT - 3, "text-anchor": anchor }, text);
    picture.append(words(0, "start", "0"), words(WIDTH, "end", `${high.toFixed(1)} × median`));
    if (at < WIDTH - 90) {
        picture.append(words(at, "middle", `${factor} ×`));
    }
    const said = shown.map((panel) => `${panel}: median ${maps[panel].median.toPrecision(3)}, largest ${maps[panel].max.toPrecision(3)}`);
    place.setAttribute("aria-label", `Histogram of patch norms over their median, square-root heights. ${said.join("; ")}; outliers from ${factor} times the median.`);
    place.replaceChildren(picture);
}

/** Total losses by step. */
export function curve(place, losses, steps) {
    const last = losses.at(-1);
    const high = Math.max(...losses, Number.MIN_VALUE);
    const floor = HEIGHT - FOOT;
    const point = (loss, step) =>
        `${(WIDTH * step) / Math.max(1, steps - 1)} ${floor - (loss / high) * (floor - 8)}`;
    place.dataset.first = losses[0];
    place.dataset.last = last;
    place.setAttribute("aria-label", `Loss ${last.toPrecision(4)} after ${losses.length} of ${steps} steps, ${losses[0].toPrecision(4)} at first.`);
    place.replaceChildren(
        svg(
            "svg",
            { viewBox: `0 0 ${WIDTH} ${HEIGHT}` },
            svg("path", { class: "curve", d: `M${losses.map(point).join("L")}` }),
            svg("line", { class: "axis", x1: 0, x2: WIDTH, y1: floor, y2: floor }),
            svg("text", { x: 0, y: HEIGHT - 3 }, `step ${losses.length} of ${steps}`),
            svg("text", { x: WIDTH, y: HEIGHT - 3, "text-anchor": "end" }, `loss ${last.toPrecision(4)}, first ${losses[0].toPrecision(4)}`),
        ),
    );
}
