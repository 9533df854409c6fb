/** A student that learns from the teacher in the page. */

import { byId } from "./dom.js";
import { scenes } from "./refinement.js";
import { number, Training } from "./training.js";
import { side } from "./view.js";

/** Milliseconds between two looks at the student that learns. */
const BETWEEN = 700;

const training = new Training("learn", "Learning");

/**
 * Teaches a new student; `show` is awaited now and then, and at the end.
 *
 * @param {number[]} keys of the opened images
 * @param {number} seed of the first scene
 * @param {number[]} layers of the teacher
 * @param {(info: object) => Promise<void>} show
 * @returns {Promise<string>} how many steps were done
 */
export function learn(engine, keys, seed, layers, show) {
    const wanted = {
        layers,
        side: side(),
        width: number("learn-width"),
        lr: number("learn-lr"),
        steps: number("learn-steps"),
        refined: byId("learn-refined").checked,
    };
    let shown = 0;
    const onStep = async ({ done, stopped }) => {
        if (done || stopped || performance.now() - shown > BETWEEN) {
            await show(await engine.showStudent());
            shown = performance.now();
        }
    };
    const begin = () => engine.startLesson(keys, scenes(keys, seed), wanted);
    return training.run(begin, () => engine.lessonStep(), onStep);
}
