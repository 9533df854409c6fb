/** The four maps: their canvases, covers, and the marked patch. */

const FEATURES = ["teacher", "refined", "student"];
/** Most pixels along a panel's side: more shows nothing more. */
const MOST = 1024;

export class Panels {
    #figures = new Map();
    #grid = [1, 1];
    #size = [1, 1];
    #patch = null;
    #onMark;

    /** @param {(patch: number | null) => void} onMark */
    constructor(onMark) {
        this.#onMark = onMark;
        for (const figure of document.querySelectorAll("figure[data-panel]")) {
            this.#figures.set(figure.dataset.panel, figure);
            const over = figure.querySelector(".over");
            over.addEventListener("pointermove", (event) => {
                if (event.pointerType === "mouse") {
                    this.#point(over, event);
                }
            });
            over.addEventListener("pointerdown", (event) => this.#point(over, event));
            over.addEventListener("pointerleave", (event) => {
                if (event.pointerType === "mouse") {
                    this.#mark(null);
                }
            });
            over.addEventListener("keydown", (event) => this.#key(event));
        }
    }

    /** Gives new canvases to an engine; those before belong to another worker. */
    async attach(engine) {
        for (const panel of FEATURES) {
            const old = this.#canvas(panel);
            const fresh = document.createElement("canvas");
            old.replaceWith(fresh);
            await engine.attach(panel, fresh);
        }
    }

    /** Shows the image that the models saw, and fits the panels to its shape. */
    async setImage(engine, { bitmap, grid, size }) {
        this.#grid = grid;
        this.#size = size;
        const canvas = this.#canvas("image");
        canvas.width = bitmap.width;
        canvas.height = bitmap.height;
        canvas.getContext("2d").drawImage(bitmap, 0, 0);
        bitmap.close();
        await this.fit(engine);
        this.setMark(this.#patch);
    }

    /** Fits canvases and the layers over them to the frames. */
    async fit(engine) {
        const [height, width] = this.#size;
        for (const [panel, figure] of this.#figures) {
            const side = figure.querySelector(".frame").clientWidth;
            const scale = side / Math.max(height, width);
            const shown = [Math.round(width * scale), Math.round(height * scale)];
            for (const layer of [this.#canvas(panel), figure.querySelector(".over")]) {
                layer.style.width = `${shown[0]}px`;
                layer.style.height = `${shown[1]}px`;
            }
            if (panel === "image") {
                this.#canvas(panel).style.imageRendering = scale > 2 ? "pixelated" : "auto";
            } else {
                const ratio = Math.min(devicePixelRatio, MOST / Math.max(...shown));
                const pixels = shown.map((length) => Math.max(1, Math.round(length * ratio)));
                await engine.resize(panel, ...pixels);
            }
        }
    }

    /** Covers a panel with a reason why there is nothing, or uncovers it. */
    cover(panel, reason) {
        const cover = this.#figures.get(panel).querySelector(".cover");
        cover.hidden = reason === null;
        cover.textContent = reason ?? "";
    }

    /** The words beside a panel's name. */
    caption(panel, words) {
        this.#figures.get(panel).querySelector("figcaption span").textContent = words;
    }

    /** Shows the cross on a patch in every panel; a patch beyond the grid is none. */
    setMark(patch) {
        const [rows, columns] = this.#grid;
        this.#patch = patch !== null && patch < rows * columns ? patch : null;
        for (const figure of this.#figures.values()) {
            const cross = figure.querySelector(".cross");
            cross.hidden = this.#patch === null;
            if (this.#patch !== null) {
                cross.style.left = `${(100 * ((this.#patch % columns) + 0.5)) / columns}%`;
                cross.style.top = `${(100 * (Math.floor(this.#patch / columns) + 0.5)) / rows}%`;
            }
        }
        return this.#patch;
    }

    /** Patches along height and width. */
    get grid() {
        return this.#grid;
    }

    #canvas(panel) {
        return this.#figures.get(panel).querySelector("canvas");
    }

    #point(over, event) {
        const { left, top, width, height } = over.getBoundingClientRect();
        const [rows, columns] = this.#grid;
        const at = (share, count) => Math.min(count - 1, Math.max(0, Math.floor(share * count)));
        const column = at((event.clientX - left) / width, columns);
        this.#mark(at((event.clientY - top) / height, rows) * columns + column);
    }

    #key(event) {
        const [rows, columns] = this.#grid;
        if (event.key === "Escape") {
            this.#mark(null);
            return;
        }
        const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Enter: [0, 0] }[event.key];
        if (!step) {
            return;
        }
        event.preventDefault();
        const from = this.#patch ?? Math.floor(rows / 2) * columns + Math.floor(columns / 2);
        const by = this.#patch === null ? [0, 0] : step;
        const row = Math.min(rows - 1, Math.max(0, Math.floor(from / columns) + by[0]));
        const column = Math.min(columns - 1, Math.max(0, (from % columns) + by[1]));
        this.#mark(row * columns + column);
    }

    #mark(patch) {
        if (patch !== this.#patch) {
            this.#onMark(this.setMark(patch));
        }
    }
}
