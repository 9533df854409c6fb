/** The four maps: their canvases, covers, and the marked patch. */

const FEATURES = ["teacher", "refined", "student"];
/** Most pixels along a panel's side: more shows nothing more. */
const MOST = 1024;

export class Panels {
    #figures = new Map();
    #grid = [1, 1];
    #size = [1, 1];
    /** The patch that a click keeps marked. */
    #kept = null;
    /** The patch that the pointer is over, while none is kept. */
    #pointed = null;
    #onMark;

    /** @param {(kept: number | null) => void} onMark hears of every change of the mark */
    constructor(onMark) {
        this.#onMark = onMark;
        for (const figure of document.querySelectorAll("figure[data-panel]")) {
            this.#figures.set(figure.dataset.panel, figure);
            const over = figure.querySelector(".over");
            over.addEventListener("pointermove", (event) => {
                if (event.pointerType === "mouse" && this.#kept === null) {
                    this.#mark(null, this.#at(over, event));
                }
            });
            over.addEventListener("click", (event) => {
                const patch = this.#at(over, event);
                const pointed = event.pointerType === "mouse" ? patch : null;
                this.#mark(patch === this.#kept ? null : patch, pointed);
            });
            over.addEventListener("pointerleave", () => this.#mark(this.#kept, null));
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
        this.setMark(this.#kept);
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

    /** The scale of a panel's colours, least first, with what is at its ends and of what; null for none. */
    setScale(panel, scale) {
        const place = this.#figures.get(panel).querySelector(".scale");
        place.classList.toggle("empty", !scale);
        if (scale) {
            const { colours, low, high, unit } = scale;
            const words = place.querySelectorAll("span");
            [words[0].textContent, words[1].textContent, words[2].textContent] = [low, high, unit];
            place.querySelector("canvas").getContext("2d").putImageData(new ImageData(colours, colours.length / 4, 1), 0, 0);
        }
    }

    /**
     * The panels that show something, for a picture of `side` pixels each.
     *
     * @typedef {{title: string, source: CanvasImageSource & {width: number, height: number}, mark: [number, number] | null, scale: {canvas: HTMLCanvasElement, low: string, high: string} | null}} Pictured
     * @returns {Promise<Pictured[]>}
     */
    async pictured(engine, side) {
        const [rows, columns] = this.#grid;
        const [width, height] = [columns, rows].map((count) => Math.round((side * count) / Math.max(rows, columns)));
        const mark = this.patch === null ? null : [((this.patch % columns) + 0.5) / columns, (Math.floor(this.patch / columns) + 0.5) / rows];
        const all = [];
        for (const [panel, figure] of this.#figures) {
            if (figure.querySelector(".cover")?.hidden === false) {
                continue;
            }
            const source = panel === "image" ? this.#canvas(panel) : await engine.picture(panel, width, height);
            const [low, high, unit] = [...figure.querySelectorAll(".scale span")].map((span) => span.textContent);
            const scale = panel === "image" ? null : { canvas: figure.querySelector(".scale canvas"), low, high: `${high} ${unit}` };
            all.push({ title: figure.querySelector("figcaption").textContent.trim(), source, mark, scale });
        }
        return all;
    }

    /** Keeps a patch marked in every panel; a patch beyond the grid is none. */
    setMark(patch) {
        const [rows, columns] = this.#grid;
        const within = (patch) => (patch !== null && patch < rows * columns ? patch : null);
        this.#kept = within(patch);
        this.#pointed = within(this.#pointed);
        for (const figure of this.#figures.values()) {
            const cross = figure.querySelector(".cross");
            cross.hidden = this.patch === null;
            cross.classList.toggle("kept", this.#kept !== null);
            if (this.patch !== null) {
                cross.style.left = `${(100 * ((this.patch % columns) + 0.5)) / columns}%`;
                cross.style.top = `${(100 * (Math.floor(this.patch / columns) + 0.5)) / rows}%`;
            }
        }
        return this.#kept;
    }

    /** The patch that is marked, kept or only pointed at. */
    get patch() {
        return this.#kept ?? this.#pointed;
    }

    /** Patches along height and width. */
    get grid() {
        return this.#grid;
    }

    #canvas(panel) {
        return this.#figures.get(panel).querySelector(".frame canvas");
    }

    #at(over, event) {
        const { left, top, width, height } = over.getBoundingClientRect();
        const [rows, columns] = this.#grid;
        const at = (share, count) => Math.min(count - 1, Math.max(0, Math.floor(share * count)));
        const column = at((event.clientX - left) / width, columns);
        return at((event.clientY - top) / height, rows) * columns + column;
    }

    #key(event) {
        const [rows, columns] = this.#grid;
        if (event.key === "Escape") {
            this.#mark(null, null);
            return;
        }
        const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Enter: [0, 0] }[event.key];
        if (!step) {
            return;
        }
        event.preventDefault();
        const from = this.patch ?? Math.floor(rows / 2) * columns + Math.floor(columns / 2);
        const by = this.patch === null ? [0, 0] : step;
        const row = Math.min(rows - 1, Math.max(0, Math.floor(from / columns) + by[0]));
        const column = Math.min(columns - 1, Math.max(0, (from % columns) + by[1]));
        this.#mark(row * columns + column, null);
    }

    #mark(kept, pointed) {
        if (kept !== this.#kept || pointed !== this.#pointed) {
            this.#pointed = pointed;
            this.#onMark(this.setMark(kept));
        }
    }
}
