/** What the maps come to, in one line. */

import { byId, element } from "./dom.js";

const times = (ratio) => `${ratio.toFixed(1)}×`;

/** Patches whose norm is not the teacher's own any more. */
function changedPatches(teacher, refined) {
    return refined.norms.filter((norm, at) => Math.abs(norm - teacher.norms[at]) > 1e-3 * teacher.norms[at]).length;
}

/**
 * The lead, and what follows it.
 *
 * @param {import("../pkg/singer_web.js").Maps} maps
 * @param {number} factor of the median, above which a patch is an outlier
 * @returns {[string, string]}
 */
export function verdict({ teacher, refined, student }, factor) {
    const [before, after] = [teacher.ratio, refined?.ratio];
    const learnt = student ? `, the student's ${times(student.ratio)}` : "";
    if (before <= factor) {
        const none = "No artifacts found here:";
        const largest = `the teacher's brightest patch has ${times(before)} the median norm`;
        const changed = refined ? changedPatches(teacher, refined) : 0;
        if (changed === 0) {
            return [none, `${largest}${refined ? ", and refinement changes nothing" : ""}.`];
        }
        const worse = after > 1.01 * before ? " These adapters do more harm than good here: find artifacts instead." : "";
        return [none, `${largest}; refinement changes ${changed} of ${teacher.norms.length} patches, to ${times(after)}.${worse}`];
    }
    const largest = "the brightest patch over the median norm";
    if (!refined) {
        return [times(before), `${largest}: artifacts. “Find artifacts” takes them out.`];
    }
    const lead = `${times(before)} → ${times(after)}`;
    if (after >= 0.99 * before) {
        return [lead, `${largest}: this refinement does not take the artifacts out.`];
    }
    const left = after > factor ? "some artifacts are left" : "the artifacts are taken out";
    return [lead, `${largest}, before and after refinement${learnt}: ${left}.`];
}

/** Shows a verdict; null shows none. */
export function showVerdict(maps, factor) {
    const [lead, rest] = maps ? verdict(maps, factor) : ["", ""];
    byId("verdict").replaceChildren(element("b", {}, lead), ` ${rest}`);
}
