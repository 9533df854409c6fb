/** What is done, one thing after another. */

import { clearError, setState, showError, state } from "./status.js";

let last = Promise.resolve();
let running = 0;
let ready = () => "";

/** Words for the status line once nothing runs any more. */
export function whenReady(words) {
    ready = words;
}

/** Does something after all that was asked before; an error is shown and the page goes on. */
export function run(words, action) {
    running += 1;
    last = last.then(async () => {
        clearError();
        setState("busy", words);
        try {
            await action();
        } catch (error) {
            showError(error);
        } finally {
            running -= 1;
        }
        if (state() !== "lost" && running === 0) {
            setState("ready", ready());
        }
    });
    return last;
}

/** As `run`, without a word in the status line. */
export function runQuietly(action) {
    last = last.then(action);
}

export const isIdle = () => running === 0;
