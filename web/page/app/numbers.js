/** The numbers beside the maps. */

import { byId } from "./dom.js";

/** Writes what `Engine.show` gave; `times` are all stages since the image was shown. */
export function showNumbers(maps, times) {
    for (const panel of ["teacher", "refined", "student"]) {
        const of = maps[panel];
        const share = of ? ` of ${of.norms.length}` : "";
        byId(`outliers-${panel}`).value = of ? `${of.outliers}${share}` : "–";
        byId(`ratio-${panel}`).value = of ? of.ratio.toFixed(2) : "–";
    }
    const short = (ms) => (ms < 10 ? ms.toFixed(1) : String(Math.round(ms)));
    const stage = ({ stage, ms, gpu }) => `${stage} ${short(ms)} ms${gpu === null ? "" : ` (GPU ${short(gpu)})`}`;
    byId("times").textContent = `Until done: ${times.map(stage).join(", ")}.`;
}

/** Says how alike the other patches are to the marked one. */
export function showSimilarity(similarity, patch, [, columns]) {
    const line = byId("similar");
    line.hidden = similarity === null;
    if (similarity !== null) {
        const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
        const each = Object.entries(similarity).filter(([, values]) => values);
        const words = each.map(([panel, values]) => `${panel} ${mean(values).toFixed(2)}`);
        line.textContent = `Mean cosine similarity to the patch in row ${Math.floor(patch / columns) + 1}, column ${(patch % columns) + 1}: ${words.join(", ")}. Colours from −1 to 1.`;
    }
}
