/** What refines the teacher: a closed form found on images, or adapters trained in the page. */

import { curve } from "./charts.js";
import { byId, element } from "./dom.js";

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

/** Says what refines the teacher; null where nothing does. */
export function describe(adapters) {
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
export function settings(layers, side, quantile) {
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
        quantile,
        rank: number("train-rank"),
        lr: number("train-lr"),
        steps: number("train-steps"),
        outlier: number("train-outlier"),
        info: number("train-info"),
    };
}

/** Ends the fit after the step that runs. */
export function stop() {
    stopped = true;
}

/**
 * Fits adapters; `onStep` is awaited after each step.
 *
 * @param {(step: number, steps: number) => Promise<void>} onStep
 */
export async function fit(engine, keys, wanted, onStep) {
    stopped = false;
    await engine.startFit(keys, wanted);
    const losses = [];
    for (let done = false; !done && !stopped; ) {
        const step = await engine.fitStep();
        losses.push(step.outlier + step.info);
        curve(byId("loss"), losses, step.steps);
        await onStep(step.step, step.steps);
        done = step.done;
    }
}
