/** The numbers beside the maps. */

import { byId } from "./dom.js";

/** Patches above `factor` times the median of their own map. */
export const outliers = ({ norms, median }, factor) => norms.filter((norm) => norm > factor * median).length;

/**
 * Writes what `Engine.show` gave; `times` are all stages since the image was shown.
 * Null clears the numbers.
 */
export function showNumbers(maps, factor, times = []) {
    for (const panel of ["teacher", "refined", "student"]) {
        const of = maps?.[panel];
        byId(`ratio-${panel}`).value = of ? of.ratio.toFixed(2) : "–";
        byId(`outliers-${panel}`).value = of ? `${outliers(of, factor)} of ${of.norms.length}` : "–";
    }
    byId("factor-said").value = factor;
    const short = (ms) => (ms < 10 ? ms.toFixed(1) : String(Math.round(ms)));
    const stage = ({ stage, ms, gpu }) => `${stage} ${short(ms)} ms${gpu === null ? "" : ` (GPU ${short(gpu)})`}`;
    const seconds = times.reduce((sum, { ms }) => sum + ms, 0) / 1000;
    byId("times").textContent = maps ? `Computed in ${seconds.toFixed(2)} s.` : "";
    byId("times").title = times.map(stage).join(", ");
}

/** Says how alike the other patches are to the marked one, and how a mark is kept; null for none. */
export function showSimilarity(similarity, patch = null, kept = false, [, columns] = []) {
    const line = byId("similar");
    line.hidden = similarity === null;
    if (similarity !== null) {
        const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
        const each = Object.entries(similarity).filter(([, values]) => values);
        const words = each.map(([panel, values]) => `${panel} ${mean(values).toFixed(2)}`);
        const how = kept ? "It is kept: click it again, or press Escape, to let it go." : "Click to keep it.";
        line.textContent = `Mean cosine similarity to the patch in row ${Math.floor(patch / columns) + 1}, column ${(patch % columns) + 1}: ${words.join(", ")}. ${how}`;
    }
}
