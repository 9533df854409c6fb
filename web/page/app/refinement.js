/** What refines the teacher: a closed form found on images, or adapters trained in the page. */

import { byId, element } from "./dom.js";
import { number, Training } from "./training.js";

/** Images that artifacts are looked for in: opened ones, and scenes where those are fewer. */
const IMAGES = 64;

const training = new Training("train", "Fitting");

/** Seeds of the scenes that fill opened images up, from the first. */
export const scenes = (keys, first) => Array.from({ length: Math.max(0, IMAGES - keys.length) }, (_, at) => first + at);

/**
 * Finds the blocks that write artifacts, and what takes them out.
 *
 * @param {number[]} keys of the opened images
 * @param {number} seed of the first scene
 * @param {(done: number, blocks: number) => void} onBlock
 * @returns {Promise<object>} what `describe` shows
 */
export async function find(engine, keys, seed, side, onBlock) {
    const start = performance.now();
    const found = await engine.estimate(keys, scenes(keys, seed), side, onBlock);
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

/**
 * Fits adapters; `onStep` is awaited after each step.
 *
 * @param {() => Promise<void>} onStep
 * @returns {Promise<string>} how many steps were done
 */
export function fit(engine, keys, wanted, onStep) {
    const step = async () => {
        const { outlier, info, ...step } = await engine.fitStep();
        return { ...step, loss: outlier + info };
    };
    return training.run(() => engine.startFit(keys, wanted), step, onStep);
}

/** Says what a fit came to on the image that is shown. */
export function judge(words, { teacher, refined }) {
    const ratios = `largest over median ${teacher.ratio.toFixed(2)} → ${refined.ratio.toFixed(2)}`;
    const judged = refined.ratio > 1.001 * teacher.ratio ? "On this image these adapters are worse than none" : "On this image";
    byId("trained").textContent = `${words} ${judged}: ${ratios}.`;
}
