/** What the models make of the chosen image, in panels and numbers. */

import { histogram } from "./charts.js";
import { byId } from "./dom.js";
import { showNumbers, showSimilarity } from "./numbers.js";
import { showVerdict } from "./verdict.js";
import { factor, marked, request, side } from "./view.js";

const PANELS = ["teacher", "refined", "student"];

export class Maps {
    #engine;
    #panels;
    #models;
    #lookTimes = [];

    /** What is shown, as `Engine.show` gave it; null while the maps are covered. */
    shown = null;

    /**
     * @param {import("./panels.js").Panels} panels
     * @param {import("./models.js").Models} models
     */
    constructor(panels, models) {
        this.#panels = panels;
        this.#models = models;
    }

    /** Uses an engine from now on. */
    use(engine) {
        this.#engine = engine;
    }

    /** Shows an image to the models, and their maps. */
    async look(key) {
        try {
            const seen = await this.#engine.look(key, side());
            this.#lookTimes = seen.times;
            await this.#panels.setImage(this.#engine, seen);
            this.#panels.caption("image", `${seen.size[1]}×${seen.size[0]} px, ${seen.grid[1]}×${seen.grid[0]} patches`);
            await this.draw();
        } catch (error) {
            this.hide("no map: the message says why");
            throw error;
        }
    }

    /** Covers the maps and clears the numbers, which are of another model or image. */
    hide(why) {
        this.shown = null;
        for (const panel of PANELS) {
            this.#panels.cover(panel, why);
            this.#panels.caption(panel, "");
            this.#panels.setScale(panel, null);
        }
        byId("histogram").replaceChildren();
        showNumbers(null, factor());
        showSimilarity(null);
        showVerdict(null);
    }

    /** Computes and draws what the controls ask for. */
    async draw() {
        marked.patch = this.#panels.setMark(marked.patch);
        const patch = this.#panels.patch;
        const wanted = request(patch);
        const shown = await this.#engine.show(wanted);
        if (shown === null) {
            return;
        }
        this.shown = shown;
        const { teacher, refined, student, similarity, ranges, times } = shown;
        this.#panels.cover("teacher", null);
        this.#panels.cover("refined", refined ? null : this.#withoutAdapter());
        this.#panels.cover("student", student ? null : "no student is loaded");
        this.#panels.caption("teacher", `block ${teacher.layer}`);
        this.#panels.caption("refined", refined ? this.#refinedHow(wanted) : "");
        this.#panels.caption("student", student ? `block ${student.layer}` : "");
        const colours = await this.#engine.palette(similarity && wanted.shared ? "diverging" : wanted.palette);
        for (const panel of PANELS) {
            const range = ranges[panel];
            this.#panels.setScale(panel, range ? { colours, ...ends(range, similarity ? null : shown[panel].median) } : null);
        }
        histogram(byId("histogram"), shown, factor());
        showNumbers(shown, factor(), [...this.#lookTimes, ...times]);
        showVerdict(shown, factor());
        showSimilarity(similarity, patch, marked.patch !== null, this.#panels.grid);
        document.documentElement.dataset.drawn = Number(document.documentElement.dataset.drawn) + 1;
    }

    #withoutAdapter() {
        const there = this.#models.layers.join(" or ");
        return there ? `no adapter at this block: choose ${there}` : "not refined yet: find artifacts below";
    }

    /** What the refined panel shows. */
    #refinedHow({ layer, strength }) {
        if (this.#models.adapters.closed && !(this.#models.layers[0] <= layer)) {
            return `block ${layer}, no artifacts so far`;
        }
        return strength === 1 ? `block ${layer}` : `block ${layer}, ${strength.toFixed(2)} × the refinement`;
    }
}

/** The ends of a panel's colours, and of what: norms over the median, or similarities. */
function ends([low, high], median) {
    if (median === null) {
        const number = (value) => value.toFixed(2).replace("-", "−");
        return { low: number(low), high: number(high), unit: "similarity" };
    }
    const times = (norm) => `${(norm / (median || 1)).toFixed(1)}×`;
    return { low: times(low), high: times(high), unit: "median norm" };
}
