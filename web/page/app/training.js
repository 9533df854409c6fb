/** Fitting adapters in the page. */

import { curve } from "./charts.js";
import { byId } from "./dom.js";

let stopped = false;

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
