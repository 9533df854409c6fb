/** What the page is doing, and what went wrong. */

import { byId } from "./dom.js";

/** @param {"loading" | "ready" | "busy" | "training" | "lost" | "failed"} state */
export function setState(state, words = "") {
    document.documentElement.dataset.state = state;
    byId("status").textContent = words;
}

export const state = () => document.documentElement.dataset.state;

export function showError(error) {
    const box = byId("error");
    box.textContent = error instanceof Error ? error.message : String(error);
    box.hidden = false;
}

export function clearError() {
    byId("error").hidden = true;
}

byId("dismiss").addEventListener("click", clearError);
