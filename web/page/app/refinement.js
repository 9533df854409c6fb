/** What refines the teacher: a closed form found on images, or adapters trained in the page. */

import { curve } from "./charts.js";
import { byId, element } from "./dom.js";
import { setState } from "./status.js";

/** Images that artifacts are looked for in: opened ones, and scenes where those are fewer. */
const IMAGES = 64;

let stopped = false;

/**
 * Finds the blocks that write artifacts, and what takes them out.
 *
 * @param {number[]} keys of the opened images
 * @param {number} seed of the first scene
 * @param {(done: number, blocks: number) => void} onBlock
 * @returns {Promise<object>} what `describe` shows
 */
export async function find(engine, keys, seed, side, onBlock) {
    const scenes = Array.from({ length: Math.max(0, IMAGES - keys.length) }, (_, at) => seed + at);
    const start = performance.now();
    const found = await engine.estimate(keys, scenes, side, onBlock);
    const seconds = (performance.now() - start) / 1000;
    const ranks = found.blocks.map(({ rank }) => rank);
    const layers = found.blocks.map(({ block }) => block);
    return { layers, rank: Math.max(0, ...ranks), closed: true, found: { ...found, seconds } };
}

/** Says what refines the teacher, null where nothing does, and whether there are files to go back to. */
export function describe(adapters, isLoaded) {
    byId("trained").textContent = "";
    byId("save-adapters").disabled = !adapters?.layers?.length;
    byId("reset-adapters").disabled = !isLoaded;
    const { layers = [], rank, closed, found } = adapters ?? {};
    const blocks = `block${layers.length > 1 ? "s" : ""} ${layers.join(", ")}`;
    const said = () => {
        if (!adapters) {
            return "Nothing refines this teacher yet.";
        }
        if (!closed) {
            return `Trained adapters of rank ${rank} at ${blocks}.`;
        }
        const looked = found && `${found.images} images, looked at in ${found.seconds.toFixed(1)} s`;
        if (layers.length === 0) {
            return `No artifacts${looked ? ` in ${looked}` : ""}: all tokens stay as they are.`;
        }
        return found ? `Artifacts in ${looked}. All other tokens pass unchanged.` : `A closed form takes artifacts out at ${blocks}, of rank ${rank}.`;
    };
    byId("found").textContent = said();
    const percent = (share) => (share === null ? "–" : `${(100 * share).toFixed(1)} %`);
    const row = ({ block, rank, patches, classTokens }) => {
        const cells = [rank, percent(patches), percent(classTokens)].map((text) => element("td", {}, String(text)));
        return element("tr", {}, element("th", { scope: "row" }, String(block)), ...cells);
    };
    byId("found-blocks").tBodies[0].replaceChildren(...(found?.blocks ?? []).map(row));
    byId("found-blocks").hidden = !found || layers.length === 0;
}

/** The settings that the form says, for these layers and this input. */
export function settings(layers, side) {
    const number = (id) => {
        const input = byId(id);
        if (!input.checkValidity()) {
            throw new Error(`${input.labels[0].textContent}: ${input.validationMessage}`);
        }
        return input.valueAsNumber;
    };
    return {
        layers,
        side,
        quantile: number("train-quantile"),
        rank: number("train-rank"),
        lr: number("train-lr"),
        steps: number("train-steps"),
        outlier: number("train-outlier"),
        info: number("train-info"),
    };
}

/** Ends the fit after the step that runs, and says so at once. */
export function stop() {
    stopped = true;
    byId("train-stop").ariaDisabled = "true";
    byId("train-stop").textContent = "Stopping…";
    setState("training", "Stopping after this step");
}

/**
 * Fits adapters; `onStep` is awaited after each step.
 *
 * @param {() => Promise<void>} onStep
 * @returns {Promise<string>} how many steps were done
 */
export async function fit(engine, keys, wanted, onStep) {
    stopped = false;
    setState("training", "Fitting: starting from the nullspace");
    const [start, end] = [byId("train"), byId("train-stop")];
    const had = document.activeElement === start;
    end.hidden = false;
    end.ariaDisabled = null;
    end.textContent = "Stop";
    // The button that had the focus cannot keep it while it does nothing.
    if (had) {
        end.focus();
    }
    start.disabled = true;
    let words = "";
    try {
        await engine.startFit(keys, wanted);
        const losses = [];
        for (let done = false; !done && !stopped; ) {
            const step = await engine.fitStep();
            losses.push(step.outlier + step.info);
            curve(byId("loss"), losses, step.steps);
            words = `${step.step} of ${step.steps} steps`;
            if (!stopped) {
                setState("training", `Fitting: ${words}; the view follows after each step`);
            }
            await onStep();
            done = step.done;
        }
    } finally {
        start.disabled = false;
        if (document.activeElement === end) {
            start.focus();
        }
        end.hidden = true;
    }
    return `${stopped ? "Stopped after" : "Done:"} ${words}.`;
}

/** Says what a fit came to on the image that is shown. */
export function judge(words, { teacher, refined }) {
    const ratios = `largest over median ${teacher.ratio.toFixed(2)} → ${refined.ratio.toFixed(2)}`;
    const judged = refined.ratio > 1.001 * teacher.ratio ? "On this image these adapters are worse than none" : "On this image";
    byId("trained").textContent = `${words} ${judged}: ${ratios}.`;
}
