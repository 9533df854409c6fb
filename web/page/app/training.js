/** Steps of a training in the page, with the buttons that start and stop it and its curve. */

import { curve } from "./charts.js";
import { byId } from "./dom.js";
import { setState } from "./status.js";

export class Training {
    #start;
    #end;
    #losses;
    #words;
    #stopped = false;

    /**
     * @param {string} id of the button that starts it; the one that stops it and the curve have
     *     `-stop` and `-loss` behind
     * @param {string} words what the status line calls it
     */
    constructor(id, words) {
        this.#start = byId(id);
        this.#end = byId(`${id}-stop`);
        this.#losses = byId(`${id}-loss`);
        this.#words = words;
        this.#end.onclick = () => this.#stop();
    }

    /** Ends it after the step that runs, and says so at once. */
    #stop() {
        this.#stopped = true;
        this.#end.ariaDisabled = "true";
        this.#end.textContent = "Stopping…";
        setState("training", "Stopping after this step");
    }

    /**
     * Does steps until the last one or until it is stopped; `onStep` is awaited after each.
     *
     * @param {() => Promise<void>} begin
     * @param {() => Promise<{step: number, steps: number, done: boolean, loss: number}>} step
     * @param {(step: {done: boolean, stopped: boolean}) => Promise<void>} onStep
     * @returns {Promise<string>} how many steps were done
     */
    async run(begin, step, onStep) {
        this.#stopped = false;
        setState("training", `${this.#words}: preparing`);
        const [start, end] = [this.#start, this.#end];
        const had = document.activeElement === start;
        end.hidden = false;
        end.ariaDisabled = null;
        end.textContent = "Stop";
        // The button that had the focus cannot keep it while it does nothing.
        if (had) {
            end.focus();
        }
        start.disabled = true;
        let done = "";
        try {
            await begin();
            const losses = [];
            for (let last = false; !last && !this.#stopped; ) {
                const now = await step();
                losses.push(now.loss);
                curve(this.#losses, losses, now.steps);
                done = `${now.step} of ${now.steps} steps`;
                if (!this.#stopped) {
                    setState("training", `${this.#words}: ${done}; the view follows`);
                }
                last = now.done;
                await onStep({ done: last, stopped: this.#stopped });
            }
        } finally {
            start.disabled = false;
            if (document.activeElement === end) {
                start.focus();
            }
            end.hidden = true;
        }
        return `${this.#stopped ? "Stopped after" : "Done:"} ${done}.`;
    }
}

/** A number field's value, where it is one that the field takes. */
export function number(id) {
    const input = byId(id);
    if (!input.checkValidity()) {
        throw new Error(`${input.labels[0].textContent}: ${input.validationMessage}`);
    }
    return input.valueAsNumber;
}
